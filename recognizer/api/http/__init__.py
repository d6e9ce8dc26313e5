"""HTTP layer of the API: request parsing, problem documents, headers, throttling, idempotency, image responses."""
