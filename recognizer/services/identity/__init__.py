"""Actors and their rights: permissions, accounts, passwords, tokens, quotas, rate limits, idempotency keys."""
