"""Predictions: the queue, the worker, recovery of lost work, backfill and explanations."""
