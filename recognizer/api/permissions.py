"""Permission classes of the API: scopes of tokens, and the roles of accounts."""

from collections.abc import Callable

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from recognizer.api.http.requests import actor_of
from recognizer.models import Scope, Token
from recognizer.services.identity import permissions, throttling
from recognizer.services.identity.actors import Actor


class InsufficientScope(PermissionDenied):
    """The token is valid but has none of the required scopes (403)."""

    default_code = "insufficient_scope"

    def __init__(self, scopes: tuple[Scope, ...]) -> None:
        names = " or ".join(scopes)
        super().__init__(f"This needs a token with the scope {names}.")
        self.auth_header = f'Bearer realm="api", error="insufficient_scope", scope="{" ".join(scopes)}"'


class HasTokenScope(BasePermission):
    """Requires that a token has one of the view's scopes."""

    def has_permission(self, request: Request, view: object) -> bool:
        """Return True.

        Raises:
            InsufficientScope: The token has none of the required scopes.
        """
        required = required_scopes(view, request.method or "")
        if required and isinstance(request.auth, Token) and not actor_of(request).has_scope(*required):
            raise InsufficientScope(required)
        return True


def required_scopes(view: object, method: str) -> tuple[Scope, ...] | None:
    """Return the scopes of which a token needs one.

    The default is `read` for safe methods and `submit` for all others. Views override it by method in their attribute
    `scopes`.

    Returns:
        The scopes; an empty tuple if any token is accepted; None if the operation is not meant for tokens.
    """
    default = (Scope.READ,) if method in SAFE_METHODS else (Scope.SUBMIT,)
    scopes: dict[str, tuple[Scope, ...] | None] = getattr(view, "scopes", {})
    return scopes.get("GET" if method == "HEAD" else method, default)


class _RolePermission(BasePermission):
    require: Callable[[Actor], None]

    def has_permission(self, request: Request, _view: object) -> bool:
        """Return True.

        Raises:
            NotAllowedError: The caller does not have the role.
        """
        actor = actor_of(request)
        try:
            type(self).require(actor)
        except permissions.NotAllowedError:
            # Throttles are checked only after permissions.
            throttling.count(actor, throttling.Kind.READ)
            raise
        return True


class IsOperator(_RolePermission):
    """Requires an operator."""

    require = staticmethod(permissions.require_operator)


class IsReviewer(_RolePermission):
    """Requires a reviewer."""

    require = staticmethod(permissions.require_reviewer)
