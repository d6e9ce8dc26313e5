"""Review pages: queue, grid, statistics and confusion matrix."""
