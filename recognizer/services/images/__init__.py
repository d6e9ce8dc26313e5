"""Stored image files: encoding uploads, content-addressed names, removal of orphaned files."""
