"""HTTP of the API: parsing requests, problem details, headers, throttling, idempotency, image responses."""
