"""Pages of submissions: drawing, uploading, history, one submission."""
