"""Durability: an accepted submission is on the disk before the response, with as few syncs as possible.

A test cannot cut the power, but it can record which syncs are requested of the operating system, and when.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from recognizer.models import Source, Submission
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.inference import predict, producer
from recognizer.services.submissions import intake, service, writer
from recognizer.services.submissions.intake import SubmissionInput
from recognizer.services.submissions.writer import WriteRequest
from tests.image_samples import digit, png

NORMAL, FULL = 1, 2
LOG = "db.sqlite3-wal"
VISITOR = Actor(visitor="a" * 32)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the synced files and "enqueued" for each call of `producer.enqueue`, in order."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells the name of an open file in /proc")
    recorded: list[str] = []
    fsync, enqueue = os.fsync, producer.enqueue

    def watched_fsync(descriptor: int) -> None:
        recorded.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def watched_enqueue(ids: list[int], **options: str) -> None:
        recorded.append("enqueued")
        enqueue(ids, **options)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(producer, "enqueue", watched_enqueue)
    return recorded


def send(seed: int = 0, *, actor: Actor = VISITOR) -> Submission:
    return service.create_submission(
        actor=actor, payload=SubmissionInput(source=Source.API, image=png(digit(seed=seed))), wait=True
    )


def synchronous() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        return cursor.fetchone()[0]


def test_row_and_image_are_synced_before_the_response(site_context, events):
    submission = send()
    image = Path(submission.picture).name
    assert sorted(events) == sorted(["enqueued", image, LOG])
    assert events[0] == "enqueued", "the worker must not wait for the disk"
    assert synchronous() == FULL


def test_batch_of_a_hundred_images_syncs_the_log_once(site_context, events):
    inputs = [SubmissionInput(source=Source.API, image=png(digit(seed=seed))) for seed in range(100)]
    outcomes = writer.store(WriteRequest(actor=VISITOR, items=intake.prepare_all(inputs, actor=VISITOR)))
    assert all(isinstance(outcome, Submission) for outcome in outcomes)
    assert events.count(LOG) == 1
    assert {Path(row.picture).name for row in outcomes} <= set(events)


def test_rolled_back_transaction_restores_the_sync_level(site_context, events, settings):
    settings.SUBMISSIONS_PER_DAY = (1, 0)
    actor = Actor(visitor="a" * 32, address="192.0.2.7")
    send(actor=actor)
    events.clear()
    with pytest.raises(QuotaError):
        send(actor=actor)
    assert (events, synchronous(), Submission.objects.count()) == ([], FULL, 1)


def test_truncated_file_is_replaced_when_the_image_is_sent_again(site_context):
    submission = send()
    path = site_context.folder / "media" / submission.picture
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    send()
    assert path.read_bytes() == whole


def test_predictions_are_committed_without_a_sync(site_context, events):
    submission = send()
    events.clear()
    levels: list[int] = []
    results = _watching_commits(lambda: predict.predict_batch([submission.pk]), levels)
    assert list(results) == [submission.pk]
    assert levels == [NORMAL]
    assert synchronous() == FULL


def _watching_commits(function: Callable[[], dict], levels: list[int]) -> dict:
    """Call the function and record SQLite's `synchronous` level at the beginning of each transaction."""
    begin = connection._start_transaction_under_autocommit

    def watched() -> None:
        levels.append(synchronous())
        begin()

    connection._start_transaction_under_autocommit = watched
    try:
        return function()
    finally:
        del connection._start_transaction_under_autocommit
