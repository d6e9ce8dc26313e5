"""The two Lua scripts: when a session is started, and when it may end. A real Valkey and no worker."""

import os
import time
from collections.abc import Iterator

import pytest

from digitsite import redis_urls
from digitsite.testing.site import Site
from recognizer.models import Source
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import answers, handoff, tally
from recognizer.services.inference.handoff import asking, serving
from recognizer.services.inference.handoff.connection import QUEUE, SHIFTS, WORKERS
from recognizer.services.inference.handoff.serving import Batch, ShiftLease
from recognizer.services.submissions import service
from recognizer.services.submissions.intake import SubmissionInput

TORN = answers.failure_message("It is torn.")


@pytest.fixture
def valkey(site: Site) -> Iterator[Site]:
    site.start_redis()
    with site.entered():
        yield site


def start_message_count(site: Site) -> int:
    """Return the number of Celery messages that wait for a worker."""
    return site.redis(redis_urls.BROKER).llen("predictions")


def acquire_lease(token: str = "t") -> ShiftLease:
    lease = ShiftLease(token, "w@test")
    assert lease.begin()
    return lease


def test_only_first_push_starts_session(valkey: Site) -> None:
    handoff.push([1], reply=False)
    handoff.push([2, 3], reply=False)
    assert start_message_count(valkey) == 1
    assert valkey.redis().lrange(QUEUE, 0, -1) == [b"1", b"2", b"3"]


def test_items_name_reply_list_and_older_items_are_served(valkey: Site) -> None:
    lease = acquire_lease()
    valkey.redis().rpush(QUEUE, 7)
    handoff.push([8])
    assert lease.pop(0.1).asked == [(7, ""), (8, handoff.link().replies.address)]
    client = handoff.link()
    client.push("previews", ['{"key": "k", "pixels": "", "ink": {}}'], token="t", lease=1, patience=5, limit=2)
    assert not lease.pop(0.1).previews  # the older process that waited for it has ended


def test_submission_without_wait_has_no_reply_list(valkey: Site) -> None:
    acquire_lease()  # otherwise each push would start a session
    visitor, strokes = Actor(visitor="a" * 32), [[[60, 200, 120], [60, 60, 220]]]
    payload = SubmissionInput(source=Source.API, strokes=strokes)
    waited_for = service.create_submission(actor=visitor, payload=payload, wait=True)
    not_waited_for = service.create_submission(actor=visitor, payload=payload)
    expected = [f"{waited_for.pk} {handoff.link().replies.address}", f"{not_waited_for.pk}"]
    assert [item.decode() for item in valkey.redis().lrange(QUEUE, 0, -1)] == expected


def test_batch_results_go_to_each_waiting_process(valkey: Site) -> None:
    lease = acquire_lease()
    batch = Batch(asked=[(1, "replies:a"), (2, "replies:b"), (3, ""), (4, "replies:a")])
    lease.answer(batch, dict.fromkeys([1, 2, 3], TORN))
    assert valkey.redis().lrange("replies:a", 0, -1) == [b"1 " + TORN, b"4 "]  # an empty reply: read the row
    assert valkey.redis().lrange("replies:b", 0, -1) == [b"2 " + TORN]
    assert not valkey.redis().exists("replies:")
    assert 30 < valkey.redis().ttl("replies:a") <= 40


def test_reply_lists_are_trimmed(valkey: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_REPLIES", 3)
    lease = acquire_lease()
    for pk in range(5):
        lease.answer(Batch(asked=[(pk, "replies:dead")]), {pk: TORN})
    assert valkey.redis().lrange("replies:dead", 0, -1) == [b"%d " % pk + TORN for pk in (2, 3, 4)]


def test_counters_are_flushed_before_session_ends(valkey: Site) -> None:
    for number, end in enumerate((ShiftLease.end, lambda lease: lease.hand_over(always=True)), start=1):
        lease = acquire_lease(f"t{number}")
        lease.renew()
        lease.count({1: TORN})  # not flushed so soon after the last renewal
        assert tally.read(valkey.redis()).failed == number - 1
        end(lease)
        assert tally.read(valkey.redis()).failed == number


def test_unsent_start_message_delays_next_session_by_two_seconds(valkey: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(asking, "call_worker", lambda token: None)  # as after a crash between the two steps
        handoff.push([1])
    handoff.push([2])
    assert start_message_count(valkey) == 0
    end_of_lease = valkey.redis().zrange(SHIFTS, 0, -1, withscores=True)[0][1]
    assert end_of_lease - time.time() <= asking.START_LEASE_SECONDS
    valkey.redis().zadd(SHIFTS, {valkey.redis().zrange(SHIFTS, 0, -1)[0]: time.time() - 0.01})  # two seconds later
    handoff.push([3])
    assert start_message_count(valkey) == 1


def test_long_queue_starts_second_session_if_there_is_a_worker(valkey: Site, settings) -> None:
    settings.PREDICTION_BATCH = 10
    acquire_lease()
    handoff.push(range(30))
    assert start_message_count(valkey) == 0
    for name in ("one", "two"):
        serving.heartbeat(name)
    handoff.push([31])
    handoff.push([32])
    assert start_message_count(valkey) == 1


def test_session_ends_only_when_queue_is_empty(valkey: Site) -> None:
    lease = acquire_lease()
    handoff.push([1])
    assert not lease.end()
    assert lease.pop(0.1).ids == [1]
    assert lease.end()
    handoff.push([2])
    assert start_message_count(valkey) == 1


def test_session_hands_over_at_end_of_its_time(valkey: Site) -> None:
    lease = acquire_lease()
    handoff.push([1])
    lease.hand_over(always=False)
    assert start_message_count(valkey) == 1
    handoff.push([2])
    assert start_message_count(valkey) == 1


def test_session_without_work_releases_lease(valkey: Site) -> None:
    lease = acquire_lease()
    lease.hand_over(always=False)
    assert start_message_count(valkey) == 0
    assert valkey.redis().zcard(SHIFTS) == 0


def test_late_session_does_not_start_while_another_runs(valkey: Site) -> None:
    acquire_lease("somebody else's")
    assert not ShiftLease("late", "w@test").begin()


def test_late_session_serves_if_no_other_runs(valkey: Site) -> None:
    lease = acquire_lease("late")
    assert not lease.wanted
    handoff.push([1])
    assert lease.pop(0.1).ids == [1]


def test_started_session_is_wanted(valkey: Site) -> None:
    handoff.push([1])
    token = valkey.redis().zrange(SHIFTS, 0, -1)[0].decode()
    assert acquire_lease(token).wanted


def test_next_push_reconnects_to_restarted_redis(valkey: Site) -> None:
    handoff.push([1], reply=False)
    valkey.parts[-1].kill()
    valkey.start_redis()
    handoff.push([2], reply=False)  # on a new connection, to a server that does not know the script
    assert b"2" in valkey.redis().lrange(QUEUE, 0, -1)


def test_heartbeats_expire(valkey: Site) -> None:
    assert not handoff.worker_alive()
    serving.heartbeat("w")
    handoff.ring()  # a push reads the heartbeats
    assert handoff.worker_alive()
    serving.farewell("w")
    handoff.ring()
    assert not handoff.worker_alive()
    serving.heartbeat("w")
    end = valkey.redis().zscore(WORKERS, "w")
    assert 0 < end - time.time() <= serving.HEARTBEAT_LIFE_SECONDS


def test_submissions_have_priority_over_previews(valkey: Site) -> None:
    client = handoff.link()
    client.push("previews", ['{"key": "k"}'], token="t", lease=1, patience=5, limit=2)
    handoff.push([1])
    assert acquire_lease("t").pop(0.1).ids == [1]


def test_preview_list_is_bounded(valkey: Site) -> None:
    client = handoff.link()
    pushed = [client.push("previews", ["x"], token="t", lease=1, patience=5, limit=2)[0] for _ in range(3)]
    assert pushed[2] == "full"
    assert valkey.redis().llen("previews") == 2


def test_stale_preview_is_dropped(valkey: Site) -> None:
    handoff.link().push("previews", ['{"key": "k"}'], token="t", lease=1, patience=0.000001, limit=2)
    assert not acquire_lease("t").pop(0.1)


def test_old_redis_is_rejected_with_clear_message(valkey: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for Redis 6, for which there is no wheel.
    monkeypatch.setattr(handoff.link().redis, "info", lambda section: {"redis_version": "6.2.14"})
    with pytest.raises(handoff.HandoffError, match=r"leads to a Redis 6\.2\.14; this site needs Redis 7\.0"):
        handoff.link().check_server()


def test_bundled_valkey_is_accepted(valkey: Site) -> None:
    handoff.link().check_server()


def test_child_process_has_own_connections_and_reply_list(valkey: Site) -> None:
    own = handoff.link()
    own.execute(("PING",))
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        child_link = handoff.link()
        os.write(writing, b"1" if child_link is not own and child_link.replies.address != own.replies.address else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
    os.close(reading)
    os.close(writing)
