"""Account pages: sign-in, users, tokens and personal data."""
