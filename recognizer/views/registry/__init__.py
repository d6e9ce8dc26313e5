"""Pages of model versions and training runs."""
