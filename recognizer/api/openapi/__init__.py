"""The OpenAPI document: extensions of drf-spectacular, parameters and examples."""
