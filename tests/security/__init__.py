"""Nobody gets in, and nothing leaks."""
