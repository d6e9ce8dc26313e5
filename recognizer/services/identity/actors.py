"""Actors: who makes a request (an account, a visitor with a signed cookie, or an unknown caller) and with which rights.

Every permission check in the services takes an `Actor`.
"""

import secrets
from dataclasses import dataclass, field, replace

from django.contrib.auth.models import User

from recognizer.models import Scope
from recognizer.services.lib.addresses import rate_key

REVIEW = "recognizer.review"
OPERATE = "recognizer.operate"


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated principal and its permissions.

    Attributes:
        user: the account, or None.
        visitor: the random key of the visitor's cookie, or "".
        is_system: whether this is `SYSTEM_ACTOR`.
        scopes: the scopes of the bearer token; None without a token, which is the same as all scopes.
        address: the network address of the request, for the limits of callers without an account; never stored.
        manage_key: the manage key that came with the request, or "": its submission counts as the actor's own.
    """

    user: User | None = None
    visitor: str = ""
    is_system: bool = False
    scopes: frozenset[str] | None = None
    address: str = ""
    manage_key: str = field(default="", repr=False)

    @property
    def is_known(self) -> bool:
        """True if the actor has an account or a visitor's cookie."""
        return self.user is not None or bool(self.visitor)

    @property
    def caller_key(self) -> str:
        """The key under which shared resources (decoding, waiting, previews, exports) are accounted.

        An account has one key, whether it comes with a session or a token. Without an account it is the network that
        counts and not the visitor's cookie, which a program can drop. No address is exempt, loopback included.
        """
        if self.is_system:
            return "machine"
        return f"account:{self.user.pk}" if self.user is not None else f"network:{rate_key(self.address)}"

    def has_scope(self, *scopes: Scope) -> bool:
        """Return whether the token has one of these scopes; True for requests without a token."""
        return self.scopes is None or not self.scopes.isdisjoint(scopes)

    @property
    def is_reviewer(self) -> bool:
        """True if the actor may review, and the token (if there is one) has the scope for it."""
        return self.user is not None and self.has_scope(Scope.REVIEW) and self.user.has_perm(REVIEW)

    @property
    def is_operator(self) -> bool:
        """True if the actor may operate the site, and the token (if there is one) has the scope for it."""
        if self.is_system:
            return True
        return self.user is not None and self.has_scope(Scope.OPERATE) and self.user.has_perm(OPERATE)

    @property
    def sees_all(self) -> bool:
        """True if the actor sees all submissions with the names of their reviewers, and may export labelled data."""
        return self.is_reviewer or self.is_operator

    def with_new_visitor(self) -> "Actor":
        """Return this actor with a new random visitor key."""
        return replace(self, visitor=secrets.token_hex(16))


# The actor of management commands: it has every permission and no account.
SYSTEM_ACTOR = Actor(is_system=True)
