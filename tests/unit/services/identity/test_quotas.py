"""A day's quota counts every byte that is stored for a person, not the picture alone."""

import json
import secrets
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from recognizer.models import IdempotencyKey, LabelReason, Source, Submission, Usage
from recognizer.services.identity import idempotency, quotas, training_consent
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import StoredResponse
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.images import storage
from recognizer.services.review import labels
from recognizer.services.submissions import service
from tests.factories import make_prediction
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

ELSEWHERE = Actor(visitor="a" * 32, address="192.0.2.7")
POINTS = 10_000
# As long as numbers can be: two decimals, and the milliseconds of a clock.
LONG = [
    [
        [round(20.01 + number % 240 + number / 99_999, 2) for number in range(POINTS)],
        [round(20.01 + number // 42 + number / 99_999, 2) for number in range(POINTS)],
        [1_700_000_000_000.25 + number for number in range(POINTS)],
    ]
]


def used() -> int:
    usage = Usage.objects.first()
    return usage.bytes if usage else 0


def send(actor: Actor = ELSEWHERE, strokes: list = SEVEN) -> Submission:
    return service.create_from_strokes(actor=actor, strokes=strokes, source=Source.API)


@pytest.mark.both_databases
def test_strokes_count_with_all_their_points() -> None:
    """They took 65 times as much as the picture, which alone was counted: 1.7 GB a day from one address."""
    row = Submission.objects.get(pk=send(strokes=LONG).pk)
    strokes, picture = len(json.dumps(row.strokes)), len(storage.read(row))
    assert strokes > 300_000
    assert used() >= strokes + picture + len(row.pixels)
    assert used() <= strokes + picture + 2 * quotas.SUBMISSION_ROW_BYTES


def test_long_drawings_end_with_the_quota(settings) -> None:
    settings.MEGABYTES_PER_DAY = (1, 1)
    taken = [_is_taken([[[x + number / 100 for x in LONG[0][0]], *LONG[0][1:]]]) for number in range(5)]
    assert taken == [True, True, True, False, False]
    assert Submission.objects.count() == 3


def _is_taken(strokes: list) -> bool:
    try:
        send(strokes=strokes)
    except QuotaError:
        return False
    return True


def test_kept_responses_count() -> None:
    program = Client(HTTP_HOST="localhost", REMOTE_ADDR=ELSEWHERE.address)
    headers = {"Prefer": "wait=0", "Idempotency-Key": "once"}
    body = [{"strokes": SEVEN}, {"strokes": []}]
    answer = program.post("/api/v1/submissions", body, content_type="application/json", headers=headers)
    assert answer.status_code == 207
    with_key = used()
    Usage.objects.all().delete()
    program.post("/api/v1/submissions", body, content_type="application/json", headers={"Prefer": "wait=0"})
    kept = IdempotencyKey.objects.get()
    assert with_key - used() >= len(kept.body) + len(kept.key)


def test_labels_and_retractions_count_and_are_refused_when_nothing_is_left(settings) -> None:
    settings.MEGABYTES_PER_DAY = (1, 1)
    submission = send()
    before = used()
    label = labels.create_label(actor=ELSEWHERE, submission=submission, value="7", reason=LabelReason.API)
    labels.retract(actor=ELSEWHERE, label=label)
    assert used() - before == 2 * quotas.LABEL_ROW_BYTES
    Usage.objects.update(bytes=quotas.MEGABYTE - 10)
    with pytest.raises(QuotaError):
        labels.create_label(actor=ELSEWHERE, submission=submission, value="7", reason=LabelReason.API)
    assert submission.labels.count() == 2
    training_consent.opt_out(ELSEWHERE)  # never refused
    assert training_consent.has_opted_out(ELSEWHERE)


def test_labels_go_on_when_the_days_pictures_are_used_up(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    submission = send()
    with pytest.raises(QuotaError):
        send()
    labels.create_label(actor=ELSEWHERE, submission=submission, value="7", reason=LabelReason.API)
    page = Client(HTTP_HOST="localhost", REMOTE_ADDR=ELSEWHERE.address).get("/api/v1/me")
    assert page.json()["quota"]["submissions_left"] == 0


def _predicted() -> None:
    make_prediction(send(), probabilities=[0.012345678901234567] * 10)


def _label_of(submission: Submission) -> Callable[[], None]:
    return lambda: labels.create_label(
        actor=ELSEWHERE, submission=submission, value=secrets.choice("0123456789"), reason=LabelReason.API
    )


def _opted_out() -> None:
    training_consent.opt_out(Actor(visitor=secrets.token_hex(16), address=ELSEWHERE.address))


def _answered_once() -> None:
    claim = idempotency.acquire(actor=ELSEWHERE, key=secrets.token_hex(16), fingerprint="a" * 64)
    idempotency.record(claim, [{"status": 422}])
    idempotency.complete(claim, StoredResponse(207, {}, "x" * 1000))


@pytest.mark.sqlite_only
@pytest.mark.parametrize("what", ["submission", "label", "opt out", "response"])
def test_what_is_counted_is_what_the_database_grows_by(what: str) -> None:
    operation = {
        "submission": _predicted,
        "label": _label_of(send()),
        "opt out": _opted_out,
        "response": _answered_once,
    }[what]
    operation()
    size, counted = _database_size(), used()
    for _ in range(150):
        operation()
    grown, counted = _database_size() - size, used() - counted
    # Files beside the database are counted too, and indexes fill their pages by and by.
    assert 0.7 * grown <= counted <= 2.5 * grown


def _database_size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pgsize) FROM dbstat")
        return cursor.fetchone()[0]
