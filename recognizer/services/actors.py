"""Who is acting: an account, a visitor known by a signed cookie, or nobody yet. Every rule about people takes one."""

import secrets
from dataclasses import dataclass, replace

from django.contrib.auth.models import AbstractBaseUser

REVIEW = "recognizer.review"
OPERATE = "recognizer.operate"


@dataclass(frozen=True, slots=True)
class Actor:
    """`user` is a signed-in account or None; `visitor` the random key of the visitor's cookie or ""."""

    user: AbstractBaseUser | None = None
    visitor: str = ""
    is_the_machine: bool = False

    @property
    def is_known(self) -> bool:
        return self.user is not None or bool(self.visitor)

    @property
    def is_reviewer(self) -> bool:
        return self.user is not None and self.user.has_perm(REVIEW)

    @property
    def is_operator(self) -> bool:
        return self.is_the_machine or (self.user is not None and self.user.has_perm(OPERATE))

    def with_new_visitor(self) -> "Actor":
        return replace(self, visitor=secrets.token_hex(16))


# Whoever may run commands on the site's machine may do everything there; such an operator has no account.
THE_MACHINE = Actor(is_the_machine=True)
