"""The `Idempotency-Key` header at the API's door: the same request gets the same answer, and is done once."""

import hashlib
import json
import re
from collections.abc import Callable

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from recognizer.services.identity import idempotency
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import Claim, StoredResponse

from .problems import InProgress, KeyReused
from .renderers import JsonRenderer
from .requests import ApiRequest

HEADER = "Idempotency-Key"
# As the draft of the standard writes it, in quotes, or as everybody does.
# https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
KEY = re.compile(r'"?([!#-~ ]{1,255}?)"?')
KEPT_HEADERS = ("Location", "Retry-After")


def idempotent(request: ApiRequest, *, actor: Actor, act: Callable[[Claim | None], Response]) -> Response:
    """Answer the request by `act`, or, when it comes again, with what was answered then.

    What the caller adds to the data of the response afterwards is not stored.

    Raises:
        InProgress, KeyReused: by `services.identity.idempotency`.
        rest_framework.exceptions.ValidationError: the key is none.
    """
    if HEADER not in request.headers:
        return act(None)
    match = KEY.fullmatch(request.headers[HEADER])
    if match is None:
        raise ValidationError({HEADER: ["Write 1 to 255 printable ASCII characters, a UUID for example."]})
    try:
        claim = idempotency.acquire(actor=actor, key=match[1], fingerprint=_fingerprint(request))
        if isinstance(claim, StoredResponse):
            return _replayed(claim)
        try:
            response = act(claim)
        except BaseException:
            idempotency.release(claim)
            raise
    except idempotency.InProgressError as error:
        raise InProgress from error
    except idempotency.KeyReusedError as error:
        raise KeyReused from error
    kept = StoredResponse(
        status=response.status_code,
        headers={name: response[name] for name in KEPT_HEADERS if name in response.headers},
        body=JsonRenderer().render(response.data).decode(),
    )
    idempotency.complete(claim, kept)
    return response


def _replayed(kept: StoredResponse) -> Response:
    return Response(
        json.loads(kept.body), status=kept.status, headers=dict(kept.headers) | {"Idempotent-Replayed": "true"}
    )


def _fingerprint(request: ApiRequest) -> str:
    """sha256 of what is asked for. A form counts by its fields: its boundary is another one each time."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}".encode())
    if not request.media_type.startswith("multipart/"):
        digest.update(request.body)
        return digest.hexdigest()
    data: QueryDict = request.data
    for name, values in sorted(data.lists()):
        for value in values:
            content = value.encode() if isinstance(value, str) else hashlib.sha256(value.read()).digest()
            if not isinstance(value, str):
                value.seek(0)
            digest.update(f" {len(name)} {name} {len(content)} ".encode() + content)
    return digest.hexdigest()
