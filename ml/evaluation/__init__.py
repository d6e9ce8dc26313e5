"""Evaluation: metrics, calibration, the promotion gate, evaluation of a folder of images, plots and reports."""
