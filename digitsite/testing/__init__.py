"""Temporary sites, databases, browsers and accounts for tests and benchmarks. Not imported by product code."""
