"""Whoever hears that a picture is stored can pull the plug: it is on the disk. And nobody waits for the disk in vain.

A power cut cannot be had in a test; what is asked of the operating system, and when, can be watched.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from recognizer.models import Source, Submission
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import batch_prediction, handoff
from recognizer.services.submissions import service
from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError
from tests.image_samples import digit, png

NORMAL, FULL = 1, 2
LOG = "db.sqlite3-wal"


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which files were brought to the disk, and when something was put on the hand-off list."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux tells the name of an open file in /proc")
    events: list[str] = []
    fsync, push = os.fsync, handoff.push

    def watched_fsync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def watched_push(ids: list[int], **options: bool) -> None:
        events.append("handed over")
        push(ids, **options)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(handoff, "push", watched_push)
    return events


def send(seed: int = 0) -> Submission:
    return service.create_submission(
        actor=Actor(visitor="a" * 32), payload=SubmissionInput(source=Source.API, image=png(digit(seed=seed)))
    )


def synchronous() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        return cursor.fetchone()[0]


def test_row_and_picture_are_on_the_disk_when_the_sender_hears_of_it(site_context, happened):
    submission = send()
    picture = Path(submission.picture).name
    assert sorted(happened) == sorted(["handed over", picture, LOG])
    assert happened[0] == "handed over", "the worker has to wait for the disk"
    assert synchronous() == FULL


def test_a_hundred_pictures_wait_for_the_row_s_commit_once(site_context, happened):
    sent = [SubmissionInput(source=Source.API, image=png(digit(seed=seed))) for seed in range(100)]
    stored = service.create_submissions(actor=Actor(visitor="a" * 32), payloads=sent)
    assert not any(isinstance(one, SubmissionRejectedError) for one in stored)
    assert happened.count(LOG) == 1
    assert {Path(one.picture).name for one in stored} <= set(happened)


def test_what_is_refused_in_the_transaction_leaves_commits_as_they_were(site_context, happened):
    def refuse(_stored: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        service.create_submission(
            actor=Actor(visitor="a" * 32), payload=SubmissionInput(source=Source.API, image=png(digit())), within=refuse
        )
    assert (happened, synchronous(), Submission.objects.count()) == ([], FULL, 0)


def test_what_is_left_of_a_file_after_a_power_cut_is_written_anew(site_context):
    submission = send()
    path = site_context.folder / "media" / submission.picture
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    send()
    assert path.read_bytes() == whole


def test_answers_do_not_wait_for_the_disk_for_they_can_be_computed_again(site_context, happened):
    submission = send()
    happened.clear()
    levels: list[int] = []
    answered = _watching_commits(lambda: batch_prediction.predict_batch([submission.pk]), levels)
    assert list(answered) == [submission.pk]
    assert levels == [NORMAL]
    assert synchronous() == FULL


def _watching_commits(act: Callable[[], dict], levels: list[int]) -> dict:
    """Call `act` and note how strict SQLite is at each transaction's begin."""
    begin = connection._start_transaction_under_autocommit

    def watched() -> None:
        levels.append(synchronous())
        begin()

    connection._start_transaction_under_autocommit = watched
    try:
        return act()
    finally:
        del connection._start_transaction_under_autocommit
