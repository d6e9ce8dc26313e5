"""Throw-away sites, databases, browsers and people for tests and benchmarks. No product code imports it."""
