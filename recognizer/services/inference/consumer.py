"""Consumer of the prediction queue: a thread of a prediction worker that reads, predicts and replies in batches.

One iteration is one SELECT, one forward pass, one transaction, and one round trip to Redis, which sends the results,
acknowledges and deletes the entries and reads the next batch. An entry is deleted only after its results are stored, so
that another consumer can claim the entries of one that was killed.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.db import close_old_connections

from ml.readings import decode_readings
from recognizer.services.lib.redis_client import max_block_seconds, redis_client
from recognizer.services.registry import versions

from . import predict, recovery, streams
from .counters import Counters
from .result_messages import Result, encode_result
from .streams import GROUP, PREVIEWS, SUBMISSIONS

log = logging.getLogger(__name__)

# Interval of the heartbeat, and of the search for entries of dead consumers.
HEARTBEAT_SECONDS = 1.0
# Entries that were read this long ago, or three times the longest batch, are claimed: their consumer is dead.
MIN_CLAIM_SECONDS, MAX_CLAIM_SECONDS = 3.0, 8.0
# Pause after an error of Redis, the database or the model.
PAUSE_SECONDS = 1.0
# Longest wait for the current batch when the worker stops; the supervisor kills it after 3.2 s.
STOP_SECONDS = 2.5
# Replies that are not popped expire after this time, which is longer than the longest request timeout.
REPLY_LIFE_SECONDS = 30 + 10

# Id and fields of a stream entry.
Entry = tuple[bytes, dict[bytes, bytes]]


class Batch(NamedTuple):
    """Entries that were read together.

    Attributes:
        claimed: Entries of submissions that a dead consumer had read.
        submissions: Entries of submissions.
        previews: Entries of previews.
    """

    claimed: Sequence[Entry] = ()
    submissions: Sequence[Entry] = ()
    previews: Sequence[Entry] = ()


class Consumer:
    """The consumer of one worker process; Celery starts and stops it.

    Args:
        name: Name of the worker, unique among all that run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._client = redis_client()
        self._pipe = self._client.pipeline(transaction=False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_or_exit, name="prediction consumer", daemon=True)
        self._clock_offset = 0.0  # Redis's time minus the monotonic clock
        self._counters = Counters()
        self._beat_at = float("-inf")
        self._longest_batch = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread finish its batch, and wait for it."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run_or_exit(self) -> None:
        try:
            self.run()
        except BaseException:
            log.critical("prediction_consumer_failed: the worker ends", exc_info=True)
            os._exit(1)  # the supervisor starts it again; the entries that were read are claimed

    def run(self) -> None:
        """Predict what is read until `stop` is called."""
        batch, is_ready = Batch(), False
        while not self._stopping.is_set():
            try:
                if not is_ready:
                    predict.warm_up()
                    streams.create_groups(self._client)
                    streams.delete_dead_consumers(self._client)
                    self._set_clock(*self._client.time())
                    is_ready = True
                if not batch.claimed and not batch.submissions:
                    batch = self._read(batch.previews)
                batch = self._process(batch)
            except predict.SITE_ERRORS as error:
                log.warning("batch postponed, it will be predicted again: %r", error)
                close_old_connections()
                self._stopping.wait(PAUSE_SECONDS)
            except (redis.RedisError, OSError) as error:
                # What was processed and not acknowledged is claimed later, and not predicted again.
                log.warning("prediction queue unavailable: %s", error)
                self._pipe.reset()
                self._stopping.wait(PAUSE_SECONDS)
        try:
            self._leave()
        except (redis.RedisError, OSError) as error:
            log.warning("worker_deregistration_failed: %s", error)

    def _read(self, previews: Sequence[Entry]) -> Batch:
        """Send the commands of the last batch, and read the next one; empty after `max_block_seconds`.

        Args:
            previews: Previews that were read before; while there are any, only submissions are read.
        """
        is_beat = time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS
        if is_beat:
            self._add_heartbeat()
        names: dict[Any, Any] = {SUBMISSIONS: ">"} if previews else {SUBMISSIONS: ">", PREVIEWS: ">"}
        # Claimed and postponed entries must not wait for others.
        block = None if is_beat or previews else int(max_block_seconds() * 1000)
        self._pipe.xreadgroup(GROUP, self._name, names, count=settings.PREDICTION_BATCH, block=block)
        responses = self._pipe.execute(raise_on_error=False)
        for response in responses:
            if isinstance(response, redis.ResponseError):
                return self._recreate_groups(response)
        claimed: Sequence[Entry] = ()
        if is_beat:
            redis_time, (_, claimed, _) = responses[-3:-1]
            self._set_clock(*redis_time)
            # After a full batch there may be more to claim.
            self._beat_at = time.monotonic() if len(claimed) < settings.PREDICTION_BATCH else float("-inf")
        entries = dict(responses[-1])
        return Batch(claimed, entries.get(SUBMISSIONS.encode(), ()), previews or entries.get(PREVIEWS.encode(), ()))

    def _recreate_groups(self, error: redis.ResponseError) -> Batch:
        """Create the streams again after Redis was emptied (UNBLOCKED while waiting, NOGROUP otherwise).

        Raises:
            redis.ResponseError: It is another error.
        """
        if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
            raise error
        log.warning("prediction queue is gone, creating it: %s", error)
        streams.create_groups(self._client)
        self._beat_at = float("-inf")
        return Batch()

    def _add_heartbeat(self) -> None:
        """Add the commands of the heartbeat, the counters and the claim; the last two are TIME and XAUTOCLAIM."""
        now = self._now()
        self._pipe.zadd(streams.CONSUMERS, {self._name: now + streams.HEARTBEAT_LIFE_SECONDS})
        self._pipe.zremrangebyscore(streams.CONSUMERS, "-inf", now)
        self._counters.flush(self._pipe)
        self._pipe.time()
        idle_seconds = min(max(MIN_CLAIM_SECONDS, 3 * self._longest_batch), MAX_CLAIM_SECONDS)
        count = settings.PREDICTION_BATCH
        self._pipe.xautoclaim(SUBMISSIONS, GROUP, self._name, int(idle_seconds * 1000), count=count)

    def _process(self, batch: Batch) -> Batch:
        """Predict a batch, and add its replies to the commands that `_read` sends next.

        Returns:
            What is postponed: previews that were read together with submissions, until no submission waits.
        """
        if not any(batch):
            return batch
        close_old_connections()
        started = time.monotonic()
        if batch.claimed:
            log.warning("claimed %s submissions of a dead worker", len(batch.claimed))
            self._predict(batch.claimed, recovery.predict_recovered)
        if batch.submissions:
            self._predict(batch.submissions, predict.predict_batch)
        is_postponed = bool(batch.claimed or batch.submissions)
        if batch.previews and not is_postponed:
            self._predict_previews(batch.previews)
        self._longest_batch = max(self._longest_batch, time.monotonic() - started)
        return Batch(previews=batch.previews if is_postponed else ())

    def _predict(self, entries: Sequence[Entry], predict_ids: Callable[[Sequence[int]], dict[int, Result]]) -> None:
        """Predict submissions, and reply.

        Submissions without a result (predicted before, or deleted) get an empty reply: the waiter reads the row.
        """
        requests: list[tuple[int, str]] = []
        for _, fields in entries:
            try:
                requests.append((int(fields[b"id"]), fields[b"reply_to"].decode()))
            except (KeyError, ValueError) as error:
                log.warning("unreadable entry skipped: %r", error)
        results = predict_ids([pk for pk, _ in requests])
        self._counters.add(results.values())
        replies: dict[str, list[bytes]] = {}
        for pk, reply_to in requests:
            encoded = encode_result(results[pk]) if pk in results else b""
            replies.setdefault(reply_to, []).append(b"%d %b" % (pk, encoded))
        replies.pop("", None)
        for reply_to, items in replies.items():
            self._reply(reply_to, *items)
        self._acknowledge(SUBMISSIONS, entries)

    def _predict_previews(self, entries: Sequence[Entry]) -> None:
        """Predict previews that are not stale, and reply."""
        requests = []
        for entry_id, fields in entries:
            try:
                created = int(entry_id.partition(b"-")[0]) / 1000
                if created + float(fields[b"timeout"]) >= self._now():
                    readings = decode_readings(
                        fields[b"pixels"],
                        json.loads(fields[b"ink"]),
                        fields[b"further_pixels"],
                        json.loads(fields[b"further_ink"]),
                    )
                    requests.append((readings, fields[b"reply_to"].decode()))
            except (KeyError, ValueError) as error:
                log.warning("unreadable preview skipped: %r", error)
        if requests:
            _, classifier = versions.live_classifier.current()
            images, reply_lists = zip(*requests, strict=True)
            for reply_to, answer in zip(reply_lists, classifier.answer_readings(images), strict=True):
                self._reply(reply_to, json.dumps(asdict(answer)))
        self._acknowledge(PREVIEWS, entries)

    def _reply(self, reply_to: str, *items: bytes | str) -> None:
        self._pipe.rpush(reply_to, *items)
        self._pipe.expire(reply_to, REPLY_LIFE_SECONDS)

    def _acknowledge(self, stream: str, entries: Sequence[Entry]) -> None:
        entry_ids = [entry_id for entry_id, _ in entries]
        self._pipe.xack(stream, GROUP, *entry_ids)
        self._pipe.xdel(stream, *entry_ids)

    def _leave(self) -> None:
        """Send the last commands, and deregister, so that no request waits for this consumer."""
        self._counters.flush(self._pipe)
        self._pipe.zrem(streams.CONSUMERS, self._name)
        self._pipe.execute()
        consumers = self._client.xinfo_consumers(SUBMISSIONS, GROUP)
        # With entries, which only an error leaves behind, the name has to stay until another consumer claims them.
        if not any(consumer["name"] == self._name.encode() and consumer["pending"] for consumer in consumers):
            streams.delete_consumer(self._client, self._name)

    def _set_clock(self, seconds: int, microseconds: int) -> None:
        self._clock_offset = seconds + microseconds / 1e6 - time.monotonic()

    def _now(self) -> float:
        """Return Redis's time, estimated without a round trip."""
        return self._clock_offset + time.monotonic()
