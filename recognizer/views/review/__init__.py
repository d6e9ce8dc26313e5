"""Pages of review: the queue, the grid, statistics, the confusion matrix."""
