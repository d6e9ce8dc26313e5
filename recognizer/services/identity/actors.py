"""Who is acting: an account, a visitor known by a signed cookie, or nobody yet. Every rule about people takes one."""

import secrets
from dataclasses import dataclass, field, replace

from django.contrib.auth.models import AbstractBaseUser

from recognizer.models import Scope
from recognizer.services.lib.addresses import rate_key

REVIEW = "recognizer.review"
OPERATE = "recognizer.operate"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody, and by what right.

    Attributes:
        user: an account, or None.
        visitor: the random key of the visitor's cookie, or "".
        scopes: what the token is good for that they came with; None without a token: for whatever they may do.
        address: the network address of the request, for the limits of people without an account; never stored.
        manage_key: the key that came with the request, or "": its submission counts as the actor's own.
    """

    user: AbstractBaseUser | None = None
    visitor: str = ""
    is_system: bool = False
    scopes: frozenset[str] | None = None
    address: str = ""
    manage_key: str = field(default="", repr=False)

    @property
    def is_known(self) -> bool:
        return self.user is not None or bool(self.visitor)

    @property
    def share_key(self) -> str:
        """The key under which shared resources (decoding, waiting, previews, exports) are accounted.

        An account has one key, whether it comes with a session or a token. Without an account it is the network that
        counts and not the visitor's cookie, which a program can drop. No address is exempt, loopback included.
        """
        if self.is_system:
            return "machine"
        return f"account:{self.user.pk}" if self.user is not None else f"network:{rate_key(self.address)}"

    def has_scope(self, *scopes: Scope) -> bool:
        """Whether their token is good for one of these, or they came without any."""
        return self.scopes is None or not self.scopes.isdisjoint(scopes)

    @property
    def is_reviewer(self) -> bool:
        return self.user is not None and self.has_scope(Scope.REVIEW) and self.user.has_perm(REVIEW)

    @property
    def is_operator(self) -> bool:
        if self.is_system:
            return True
        return self.user is not None and self.has_scope(Scope.OPERATE) and self.user.has_perm(OPERATE)

    def with_new_visitor(self) -> "Actor":
        return replace(self, visitor=secrets.token_hex(16))


# Whoever may run commands on the site's machine may do everything there; such an operator has no account.
SYSTEM_ACTOR = Actor(is_system=True)
