"""What many tests share: people, and a data folder that is the test run's own."""

import os
import tempfile
from pathlib import Path

# Before Django reads its settings: nothing of a test run may touch the developer's own data folder.
_DATA = tempfile.TemporaryDirectory(prefix="digits-test-")
os.environ["DATA_DIR"] = _DATA.name
for name in ("DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS", "DEBUG", "SECRET_KEY"):
    os.environ.pop(name, None)

import pytest  # noqa: E402
from django.contrib.auth.models import Group, User  # noqa: E402

from recognizer.services.actors import Actor  # noqa: E402


@pytest.fixture
def data_folder() -> Path:
    return Path(_DATA.name)


@pytest.fixture
def visitor() -> Actor:
    return Actor(visitor="a" * 32)


@pytest.fixture
def stranger() -> Actor:
    return Actor(visitor="b" * 32)


def _user_in(group: str, name: str) -> User:
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name=group))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def reviewer(db: None) -> Actor:
    return Actor(user=_user_in("reviewer", "rita"))


@pytest.fixture
def operator(db: None) -> Actor:
    return Actor(user=_user_in("operator", "otto"))
