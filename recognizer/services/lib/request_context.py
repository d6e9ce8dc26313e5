"""What happens on behalf of which request: an id and a few facts that every log line of it carries.

The web server's outermost middleware begins a trace, services add what they know (`add`), digitsite/logs.py prints it.
Ids only, never who somebody is.
"""

import re
import secrets
from contextvars import ContextVar, Token

# What a proxy in front may have called the request already.
GIVEN_ID = re.compile(r"[A-Za-z0-9-]{8,64}")

_facts: ContextVar[dict[str, object] | None] = ContextVar("facts", default=None)


def begin(given_id: str = "") -> tuple[str, Token]:
    """Begin a trace; `given_id` is taken over if it can be one. Returns its id, and what `end` needs."""
    request_id = given_id if GIVEN_ID.fullmatch(given_id) else secrets.token_hex(8)
    return request_id, _facts.set({"request_id": request_id})


def end(token: Token) -> None:
    _facts.reset(token)


def add(**facts: object) -> None:
    """Add facts to the trace that is going on; without one nobody will ask for them."""
    known = _facts.get()
    if known is not None:
        known.update(facts)


def facts() -> dict[str, object]:
    """What is known of the trace that is going on, its id first."""
    return _facts.get() or {}
