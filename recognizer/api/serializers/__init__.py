"""Serializers: what the API reads and what it returns."""
