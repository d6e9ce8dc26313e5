"""Accounts for tests and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recognizer.services.identity.actors import Actor


def member_of(group: str, name: str) -> Actor:
    """Create an account in the group and return its actor."""
    from django.contrib.auth.models import Group, User

    from recognizer.services.identity.actors import Actor

    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name=group))
    return Actor(user=user)
