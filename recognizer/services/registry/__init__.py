"""Model versions: storage, deployments, plots."""
