"""Submissions: validation, storage, deletion and retention."""
