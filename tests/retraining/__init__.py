"""Learning: training runs, the gate, deployments and their pages."""
