"""The OpenAPI document: hooks of drf-spectacular, parameters and examples."""
