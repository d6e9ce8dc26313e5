"""The `Idempotency-Key` header: a repeated request gets the stored response and is executed once."""

import hashlib
import re
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, QueryDict
from rest_framework.exceptions import ValidationError

from recognizer.services.identity import idempotency
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim, StoredResponse

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

HEADER = "Idempotency-Key"
# With quotes, as in the draft of the standard, or without, as most clients write it.
# https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
KEY_PATTERN = re.compile(r'"?([!#-~ ]{1,255}?)"?')


def acquire(request: HttpRequest, body: object, *, actor: Actor) -> Claim | StoredResponse:
    """Acquire the idempotency key of a request, or return the response of an earlier attempt.

    Args:
        request: The request, with the header.
        body: Its body, as `request_parsing.read_body` returned it.
        actor: The owner of the key.

    Raises:
        idempotency.InProgressError: The same request is being executed.
        idempotency.KeyReusedError: The key was used for a different request.
        rest_framework.exceptions.ValidationError: The key is malformed.
    """
    match = KEY_PATTERN.fullmatch(request.headers[HEADER])
    if match is None:
        raise ValidationError({HEADER: ["Write 1 to 255 printable ASCII characters, a UUID for example."]})
    return idempotency.acquire(actor=actor, key=match[1], fingerprint=_fingerprint(request, body))


def _fingerprint(request: HttpRequest, body: object) -> str:
    """Return the sha256 of method, path and body. A form is hashed by its fields, because its boundary is random."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}".encode())
    if not isinstance(body, QueryDict):
        digest.update(request.body)
        return digest.hexdigest()
    for name, values in sorted(body.lists()):
        for value in values:
            content = _content(value)
            digest.update(f" {len(name)} {name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _content(value: "str | UploadedFile[Any]") -> bytes:
    """Return a form value as bytes; a file as its sha256."""
    if isinstance(value, str):
        return value.encode()
    digest = hashlib.sha256(value.read()).digest()
    value.seek(0)
    return digest
