"""Review: the queue, decisions, labels and their consensus, statistics."""
