"""Daily quotas count every stored byte of a person: images, strokes, rows, labels and responses."""

import itertools
import json
import secrets
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client

from recognizer.models import DailyUsage, IdempotencyKey, LabelReason, Source, Submission
from recognizer.services.identity import idempotency, quotas, training_consent
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.idempotency import StoredResponse
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.images import storage
from recognizer.services.lib.units import MEGABYTE
from recognizer.services.review import labels
from recognizer.services.submissions import crops, service
from recognizer.services.submissions.intake import SubmissionInput
from tests.factories import make_prediction
from tests.image_samples import SEVEN, boxed_seven, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

SENDER = Actor(visitor="a" * 32, address="192.0.2.7")
POINTS = 10_000
# Numbers of maximum length: two decimals, and the milliseconds of a clock.
LONG_STROKES = [
    [
        [round(20.01 + number % 240 + number / 99_999, 2) for number in range(POINTS)],
        [round(20.01 + number // 42 + number / 99_999, 2) for number in range(POINTS)],
        [1_700_000_000_000.25 + number for number in range(POINTS)],
    ]
]


def used_bytes() -> int:
    usage = DailyUsage.objects.first()
    return usage.bytes if usage else 0


def send(actor: Actor = SENDER, strokes: list = SEVEN) -> Submission:
    return service.create_from_strokes(actor=actor, strokes=strokes, source=Source.API)


@pytest.mark.both_databases
def test_strokes_count_with_all_points() -> None:
    """They took 65 times as much as the image, and only images were counted: 1.7 GB a day from one address."""
    row = Submission.objects.get(pk=send(strokes=LONG_STROKES).pk)
    strokes_size, image_size = len(json.dumps(row.strokes)), len(storage.read(row))
    assert strokes_size > 300_000
    assert used_bytes() >= strokes_size + image_size + len(row.pixels)
    assert used_bytes() <= strokes_size + image_size + 2 * quotas.SUBMISSION_ROW_BYTES


def test_further_readings_count() -> None:
    payload = SubmissionInput(source=Source.API, image=png(boxed_seven()))
    row = service.create_submission(actor=SENDER, payload=payload)
    assert len(row.further_pixels) >= 784
    size = len(storage.read(row)) + len(row.further_pixels) + len(json.dumps(row.further_ink))
    assert used_bytes() == size + quotas.SUBMISSION_ROW_BYTES


def test_long_drawings_are_rejected_when_the_quota_is_exhausted(settings) -> None:
    settings.MEGABYTES_PER_DAY = (1, 1)
    accepted = [
        _is_accepted([[[x + number / 100 for x in LONG_STROKES[0][0]], *LONG_STROKES[0][1:]]]) for number in range(5)
    ]
    assert accepted == [True, True, True, False, False]
    assert Submission.objects.count() == 3


def _is_accepted(strokes: list) -> bool:
    try:
        send(strokes=strokes)
    except QuotaError:
        return False
    return True


def test_stored_responses_count() -> None:
    program = Client(HTTP_HOST="localhost", REMOTE_ADDR=SENDER.address)
    headers = {"Prefer": "wait=0", "Idempotency-Key": "once"}
    body = [{"strokes": SEVEN}, {"strokes": []}]
    response = program.post("/api/v1/submissions", body, content_type="application/json", headers=headers)
    assert response.status_code == 207
    with_key = used_bytes()
    DailyUsage.objects.all().delete()
    program.post("/api/v1/submissions", body, content_type="application/json", headers={"Prefer": "wait=0"})
    row = IdempotencyKey.objects.get()
    assert with_key - used_bytes() >= len(row.body) + len(row.key)


def test_labels_and_retractions_count_and_are_rejected_when_the_quota_is_exhausted(settings) -> None:
    settings.MEGABYTES_PER_DAY = (1, 1)
    submission = send()
    before = used_bytes()
    label = labels.record_label(actor=SENDER, submission=submission, value="7", reason=LabelReason.API).label
    labels.retract(actor=SENDER, label=label)
    assert used_bytes() - before == 2 * quotas.LABEL_ROW_BYTES
    DailyUsage.objects.update(bytes=MEGABYTE - 10)
    with pytest.raises(QuotaError):
        labels.record_label(actor=SENDER, submission=submission, value="7", reason=LabelReason.API)
    assert submission.labels.count() == 2
    training_consent.opt_out(SENDER)  # never rejected
    assert training_consent.has_opted_out(SENDER)


def test_labels_are_accepted_when_the_quota_of_submissions_is_exhausted(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    submission = send()
    with pytest.raises(QuotaError):
        send()
    labels.record_label(actor=SENDER, submission=submission, value="7", reason=LabelReason.API)
    page = Client(HTTP_HOST="localhost", REMOTE_ADDR=SENDER.address).get("/api/v1/me")
    assert page.json()["quota"]["submissions_left"] == 0


def _add_prediction() -> None:
    make_prediction(send(), probabilities=[0.012345678901234567] * 10)


def _crop_adder(submission: Submission) -> Callable[[], None]:
    edges = itertools.count(100)

    def crop() -> None:
        crops.set_crop(actor=SENDER, submission=submission, crop=[0, 0, next(edges), 280])
        make_prediction(submission, crop=submission.crop_text, probabilities=[0.012345678901234567] * 10)

    return crop


def _label_adder(submission: Submission) -> Callable[[], None]:
    return lambda: labels.record_label(
        actor=SENDER, submission=submission, value=secrets.choice("0123456789"), reason=LabelReason.API
    )


def _opt_out() -> None:
    training_consent.opt_out(Actor(visitor=secrets.token_hex(16), address=SENDER.address))


def _store_response() -> None:
    claim = idempotency.acquire(actor=SENDER, key=secrets.token_hex(16), fingerprint="a" * 64)
    idempotency.record(claim, [{"status": 422}])
    idempotency.complete(claim, StoredResponse(207, {}, "x" * 1000))


@pytest.mark.sqlite_only
@pytest.mark.parametrize("kind", ["submission", "crop", "label", "opt out", "response"])
def test_quota_matches_the_growth_of_the_database(kind: str) -> None:
    operation = {
        "submission": _add_prediction,
        "crop": _crop_adder(send()),
        "label": _label_adder(send()),
        "opt out": _opt_out,
        "response": _store_response,
    }[kind]
    operation()
    size, counted_bytes = _database_size(), used_bytes()
    for _ in range(150):
        operation()
    growth, counted_bytes = _database_size() - size, used_bytes() - counted_bytes
    # Files outside of the database are counted too, and indexes fill their pages gradually.
    assert 0.7 * growth <= counted_bytes <= 2.5 * growth


def _database_size() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(pgsize) FROM dbstat")
        return cursor.fetchone()[0]
