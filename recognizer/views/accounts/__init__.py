"""Pages of accounts: signing in, users, tokens, personal data."""
