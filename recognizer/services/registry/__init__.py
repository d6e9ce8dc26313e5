"""Model versions: storage and deployments."""
