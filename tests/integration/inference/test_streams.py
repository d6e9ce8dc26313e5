"""The streams without a worker: layout, heartbeats, bounds and the Redis server."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from digitsite import redis_urls
from digitsite.testing.site import Site
from ml.preprocessing import Prepared
from recognizer.models import Source
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import producer, streams
from recognizer.services.inference.streams import CONSUMERS, PREVIEWS, SUBMISSIONS
from recognizer.services.lib import redis_client
from recognizer.services.submissions import service


@pytest.fixture
def valkey(site: Site) -> Iterator[Site]:
    site.start_redis()
    with site.entered():
        yield site


def set_heartbeat(site: Site, name: str = "w") -> None:
    site.redis().zadd(CONSUMERS, {name: time.time() + 4})


def entries(site: Site) -> list[dict[bytes, bytes]]:
    return [fields for _, fields in site.redis().xrange(SUBMISSIONS)]


def test_entry_names_submission_and_reply_list(valkey: Site) -> None:
    producer.enqueue([7, 8], reply_to="replies:a")
    producer.enqueue([9])
    assert entries(valkey) == [
        {b"id": b"7", b"reply_to": b"replies:a"},
        {b"id": b"8", b"reply_to": b"replies:a"},
        {b"id": b"9", b"reply_to": b""},
    ]
    assert streams.queued_ids(valkey.redis()) == {7, 8, 9}


def test_submission_that_no_request_waits_for_is_a_celery_message(valkey: Site) -> None:
    strokes = [[[60, 200, 120], [60, 60, 220]]]
    service.create_from_strokes(actor=Actor(visitor="a" * 32), strokes=strokes, source=Source.API)
    assert entries(valkey) == []
    assert valkey.redis(redis_urls.BROKER).llen("predictions") == 1


def test_long_stream_is_read_in_pages(valkey: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAGE", 10)
    producer.enqueue(range(1, 36))
    assert streams.queued_ids(valkey.redis()) == set(range(1, 36))


def test_next_enqueue_reconnects_to_restarted_redis(valkey: Site) -> None:
    producer.enqueue([1])
    valkey.parts[-1].kill()
    valkey.start_redis()
    producer.enqueue([2])
    assert {b"id": b"2", b"reply_to": b""} in entries(valkey)


def test_heartbeats_expire(valkey: Site) -> None:
    assert not streams.consumer_alive()
    valkey.redis().zadd(CONSUMERS, {"dead": time.time() - 1})
    assert streams.heartbeats(valkey.redis()) == {}
    set_heartbeat(valkey)
    assert list(streams.heartbeats(valkey.redis())) == ["w"]


def test_stream_of_previews_is_bounded(valkey: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "MAX_PREVIEWS", 2)
    set_heartbeat(valkey)
    prepared = Prepared(pixels=np.zeros((28, 28), np.uint8), ink={}, blank=False)
    for _ in range(3):
        assert producer.preview(prepared, timeout=0.01) is None
    assert valkey.redis().xlen(PREVIEWS) == 2


def test_wait_blocks_redis_for_less_than_its_timeout(make_site) -> None:
    """A longer block would look like a server that does not respond, and would open the circuit breaker."""
    site = make_site(REDIS_TIMEOUT="0.8")
    site.start_redis()
    with site.entered():
        assert redis_client.max_block_seconds() == 0.4
        assert producer._pop_replies(redis_client.redis_client(), "replies:none", time.monotonic() + 1) == ()


def test_old_redis_is_rejected_with_clear_message(valkey: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stands in for Redis 6, for which there is no wheel.
    monkeypatch.setattr(redis_client.redis_client(), "info", lambda section: {"redis_version": "6.2.14"})
    with pytest.raises(streams.QueueError, match=r"leads to a Redis 6\.2\.14; this site needs Redis 7\.0"):
        streams.check_server()


def test_bundled_valkey_is_accepted(valkey: Site) -> None:
    streams.check_server()
