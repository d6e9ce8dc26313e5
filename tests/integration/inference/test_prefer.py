"""The header `Prefer` of the JSON API sets how long a request waits for a worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.utils import timezone

from digitsite.testing.site import Part, Site
from recognizer.models import IdempotencyKey, Submission
from recognizer.services.identity import idempotency
from recognizer.services.inference import producer
from recognizer.services.lib import fsync
from tests.image_samples import SEVEN

if TYPE_CHECKING:
    from django.http import HttpResponse

SINGLE, SEVERAL = {"strokes": SEVEN}, [{"strokes": SEVEN}, {"strokes": SEVEN}]


@pytest.fixture
def worker(site: Site) -> Part:
    site.start_redis()
    return site.start_worker()


def send(body: object, **headers: str) -> HttpResponse:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client().post("/api/v1/submissions", json.dumps(body), content_type="application/json", headers=headers)


def statuses(response: HttpResponse) -> set[int]:
    """Return the status of the response, or those of its items."""
    content = response.json()
    return {item["status"] for item in content} if isinstance(content, list) else {response.status_code}


@pytest.mark.parametrize("body", [SINGLE, SEVERAL])
def test_respond_async_returns_202(body: object, site: Site, worker: Part) -> None:
    with site.entered():
        assert statuses(send(body, Prefer="respond-async")) == {202}
        assert statuses(send(body)) == {201}


@pytest.mark.parametrize("body", [SINGLE, SEVERAL])
@pytest.mark.parametrize(("prefer", "expected"), [("wait=2", 201), ("respond-async", 202)])
def test_retry_after_crash_honours_prefer_header(
    body: object, prefer: str, expected: int, site: Site, worker: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        """Simulates a killed process, which runs no cleanup."""

    def die(*_arguments: object) -> None:
        raise Death

    with site.entered():
        assert statuses(send(SINGLE)) == {201}
        # Freeze the worker while it is idle, before the next submission.
        worker.freeze()
        with monkeypatch.context() as patched:
            patched.setattr(idempotency, "release", lambda _claim: None)
            patched.setattr(fsync, "flush", die)
            with pytest.raises(Death):
                send(body, Idempotency_Key="k")
        count = Submission.objects.count()
        IdempotencyKey.objects.update(busy_until=timezone.now())
        wait = producer.wait
        # The worker continues when a request waits for it, and not before.
        monkeypatch.setattr(producer, "wait", lambda *content, **options: worker.thaw() or wait(*content, **options))
        again = send(body, Idempotency_Key="k", Prefer=prefer)
        worker.thaw()
        assert statuses(again) == {expected}
        assert Submission.objects.count() == count
