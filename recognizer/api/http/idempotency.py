"""The `Idempotency-Key` header: a repeated request gets the stored response and is executed once."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from recognizer.services.identity import idempotency
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim, StoredResponse

from .problems import InProgress, KeyReused
from .renderers import JsonRenderer
from .requests import ApiRequest

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from django.http import QueryDict

HEADER = "Idempotency-Key"
# With quotes, as in the draft of the standard, or without, as most clients write it.
# https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
KEY_PATTERN = re.compile(r'"?([!#-~ ]{1,255}?)"?')
STORED_HEADERS = ("Location", "Retry-After")


def idempotent(request: ApiRequest, *, actor: Actor, handler: Callable[[Claim | None], Response]) -> Response:
    """Return the response of `handler`, or the stored response if the request is a repetition.

    Changes that the caller makes to the data of the returned response are not stored.

    Args:
        request: The request. Without an `Idempotency-Key` the handler runs in any case.
        actor: The owner of the key.
        handler: Executes the request. Its argument is the claim on the key, or None without a key.

    Raises:
        InProgress: The same request is being executed.
        KeyReused: The key was used for a different request.
        rest_framework.exceptions.ValidationError: The key is malformed.
    """
    if HEADER not in request.headers:
        return handler(None)
    match = KEY_PATTERN.fullmatch(request.headers[HEADER])
    if match is None:
        raise ValidationError({HEADER: ["Write 1 to 255 printable ASCII characters, a UUID for example."]})
    try:
        claim = idempotency.acquire(actor=actor, key=match[1], fingerprint=_fingerprint(request))
        if isinstance(claim, StoredResponse):
            return _replay(claim)
        try:
            response = handler(claim)
        except BaseException:
            idempotency.release(claim)
            raise
    except idempotency.InProgressError as error:
        raise InProgress from error
    except idempotency.KeyReusedError as error:
        raise KeyReused from error
    stored = StoredResponse(
        status=response.status_code,
        headers={name: response[name] for name in STORED_HEADERS if name in response.headers},
        body=JsonRenderer().render(response.data).decode(),
    )
    idempotency.complete(claim, stored)
    return response


def _replay(stored: StoredResponse) -> Response:
    return Response(
        json.loads(stored.body), status=stored.status, headers=dict(stored.headers) | {"Idempotent-Replayed": "true"}
    )


def _fingerprint(request: ApiRequest) -> str:
    """Return the sha256 of method, path and body. A form is hashed by its fields, because its boundary is random."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}".encode())
    if not request.media_type.startswith("multipart/"):
        digest.update(request.body)
        return digest.hexdigest()
    form = cast("QueryDict", request.data)
    for name, values in sorted(form.lists()):
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
