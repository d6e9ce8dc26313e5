"""Pages of submissions: drawing, upload, history and the page of one submission."""
