"""Request context: the request id and further ids that are added to every log line of a request.

The outermost middleware calls `begin` and `end`, services add ids (`add`), and digitsite/logs.py prints them. Only ids
are added, never names of people.
"""

import re
import secrets
from contextvars import ContextVar, Token

Facts = dict[str, object]

# A request id that a proxy may have assigned.
CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

_facts: ContextVar[Facts | None] = ContextVar("facts", default=None)


def begin(client_id: str = "") -> tuple[str, Token[Facts | None]]:
    """Begin a request context.

    Args:
        client_id: the request id of the proxy or client; replaced by a random one if it is not a valid id.

    Returns:
        The request id, and the token for `end`.
    """
    request_id = client_id if CLIENT_REQUEST_ID.fullmatch(client_id) else secrets.token_hex(8)
    return request_id, _facts.set({"request_id": request_id})


def end(token: Token[Facts | None]) -> None:
    """Restore the context that was current before `begin`."""
    _facts.reset(token)


def add(**facts: object) -> None:
    """Add ids to the current request context; without one they are dropped."""
    current = _facts.get()
    if current is not None:
        current.update(facts)


def facts() -> Facts:
    """Return the ids of the current request context, the request id first."""
    return _facts.get() or {}
