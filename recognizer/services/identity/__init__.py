"""Who acts and what they may do: actors, permissions, accounts, tokens, quotas, rate limits, idempotency keys."""
