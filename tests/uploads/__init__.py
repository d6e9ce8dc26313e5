"""Hostile and odd files through the real doors of a running site."""
