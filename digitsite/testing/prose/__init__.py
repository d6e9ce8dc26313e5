"""Prose and naming check: ``python -m digitsite.testing.prose [FILE …]``; without arguments, the whole repository."""
