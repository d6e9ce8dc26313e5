"""Limits on the shape of JSON bodies, checked on the bytes before they are parsed.

Python objects parsed from `[{},{},…]` take thirty times the size of the body.
"""

import re

from rest_framework.exceptions import ParseError

from .problems import ProblemError

# Bodies up to this size parse to at most one or two megabytes, so their shape is not checked.
MAX_UNCHECKED_BYTES = 32 * 1024
# Enough for a hundred drawings of a thousand points with times; a hundred matrices of 28 x 28 are 78,400 values.
MAX_VALUES = 300_000
# Lists, objects and their fields. A hundred drawings of sixty strokes have 25,000.
MAX_CONTAINERS = 30_000
MAX_KEY_LENGTH = 100
MAX_NUMBER_LENGTH = 64

_IN_NUMBERS = bytes(ord("0") if byte in b"0123456789+-.eE" else ord(" ") for byte in range(256))
# One character beyond Latin-1 makes Python store the whole string with two or four bytes a character.
_WIDE_CHARACTER = re.compile(rb"\\u(?!00)")


TOO_MANY_VALUES = (
    f"The body has too many values: at most {MAX_VALUES:,} values are accepted at once, and {MAX_CONTAINERS:,} "
    "lists, objects and fields. Send it in several requests."
)


def check_shape(body: bytes) -> None:
    """Reject a JSON body that would take far more memory when parsed.

    Does not check that the body is valid JSON; the parser does.

    Args:
        body: The body as received, of any length.

    Raises:
        ProblemError: The body has too many values, lists, objects or fields.
        rest_framework.exceptions.ParseError: A number or a key is too long, or there is text beyond Latin-1.
    """
    if len(body) <= MAX_UNCHECKED_BYTES:
        return
    if not body.isascii() or _WIDE_CHARACTER.search(body):
        raise ParseError(f"A body of more than {MAX_UNCHECKED_BYTES} bytes may hold ASCII and Latin-1 escapes only.")
    structure = _structure(body)
    containers = sum(map(structure.count, (b"[", b"{", b":")))
    if containers > MAX_CONTAINERS or containers + structure.count(b",") > MAX_VALUES:
        raise ProblemError("too_many_values", TOO_MANY_VALUES)
    if b"0" * (MAX_NUMBER_LENGTH + 1) in structure.translate(_IN_NUMBERS):
        raise ParseError(f"JSON parse error - a number has more than {MAX_NUMBER_LENGTH} characters.")


def _structure(body: bytes) -> bytes:
    """Return the body with each string replaced by one quotation mark."""
    if b"\\" in body:
        # In this order: after pairs of backslashes are removed, a remaining backslash escapes the quotation mark.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 2 * MAX_VALUES:
        raise ProblemError("too_many_values", TOO_MANY_VALUES)
    pieces = body.split(b'"')
    for name, rest in zip(pieces[1::2], pieces[2::2], strict=False):
        if len(name) > MAX_KEY_LENGTH and rest.lstrip().startswith(b":"):
            raise ParseError(f"JSON parse error - the name of a field has more than {MAX_KEY_LENGTH} characters.")
    return b'"'.join(pieces[::2])
