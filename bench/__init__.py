"""Measurements: each file is run by hand and prints the table that the documentation quotes."""
