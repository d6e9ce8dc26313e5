"""Authentication of API clients by bearer token or cookie."""
