"""Evaluation: metrics, calibration, the promotion gate, evaluation of a folder of images, charts and reports."""
