"""What the operator sees: the Status page and command, /metrics, the log."""
