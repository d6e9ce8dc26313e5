"""Authentication of API clients: bearer tokens, and the cookies of browsers."""
