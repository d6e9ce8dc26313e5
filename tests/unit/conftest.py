"""Fixtures of all unit tests."""

import pytest


@pytest.fixture(autouse=True)
def fast_password_hasher(settings) -> None:
    """Hash passwords with MD5: the real hasher takes a third of a second, and only tests of signing in need it."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
