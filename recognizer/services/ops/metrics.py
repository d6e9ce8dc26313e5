"""Figures for Prometheus. What one web process alone knows (its requests) it counts here; everything that all share is
read from the database and Redis when somebody asks, so any process gives the same answer.

The outermost middleware counts requests; the door is `/metrics`. https://prometheus.io/docs/practices/naming/
"""

import logging
from collections.abc import Iterator

import redis
from celery import current_app
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Min
from django.utils import timezone
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from recognizer.models import RunState, Submission, SubmissionState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.inference import handoff, tally
from recognizer.services.registry import versions

from . import disk_usage, drift, liveness

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CELERY_QUEUES = ("predictions", "default", "train")
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)

_registry = CollectorRegistry(auto_describe=False)
_requests = Counter(
    "digits_http_requests", "Requests answered by this process.", ["method", "view", "status"], registry=_registry
)
_latency = Histogram(
    "digits_http_request_seconds",
    "Time from request to answer, without the network.",
    ["view"],
    buckets=LATENCY_BUCKETS,
    registry=_registry,
)
ProcessCollector(registry=_registry)
Info("digits_build", "Version of the running code.", registry=_registry).info({"version": settings.VERSION})


def count_request(*, method: str, view: str, status: int, seconds: float) -> None:
    """One answered request. `view` is the name of a view: few values, none of them a person's."""
    _requests.labels(method if method in METHODS else "other", view, str(status)).inc()
    _latency.labels(view).observe(seconds)


def exposition() -> bytes:
    """Everything, in Prometheus's text format. Whatever cannot be reached is left out, and `digits_up` says so."""
    return generate_latest(_registry)


class _SharedFigures(Collector):
    """What the database and Redis hold, read at each scrape by queries whose cost does not grow with the rows."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("digits_up", "Whether this part can be reached.", labels=["part"])
        for part, read in (("database", _from_database), ("redis", _from_redis)):
            try:
                figures = list(read())
            except (DatabaseError, versions.RegistryError, redis.RedisError, OperationalError, OSError) as error:
                if isinstance(error, redis.TimeoutError):  # so that nobody else waits for it
                    handoff.link().circuit.trip()
                log.warning("/metrics goes without %s: %s", part, error)
                up.add_metric([part], 0)
            else:
                up.add_metric([part], 1)
                yield from figures
        yield up


_registry.register(_SharedFigures())


def _from_database() -> Iterator[Metric]:
    yield from _waiting_submissions()
    live = versions.live_deployment()
    yield _gauge("digits_live_version", "Number of the live model version.", live.to_version.number)
    yield _gauge("digits_live_since_seconds", "When it went live, Unix time.", live.created.timestamp())
    yield from _training()
    yield from _drift()
    pictures = disk_usage.image_usage()
    yield _gauge("digits_pictures_bytes", "Room that kept pictures take (an estimate when many).", pictures.bytes)
    yield _gauge("digits_pictures_files", "Kept pictures (an estimate when many).", pictures.files)
    yield _gauge("digits_database_bytes", "Room that the database takes.", disk_usage.database_bytes())
    yield _gauge("digits_free_bytes", "Room left on the disk of the pictures.", disk_usage.free_bytes())


def _waiting_submissions() -> Iterator[Metric]:
    waiting = Submission.objects.filter(state=SubmissionState.PENDING)
    pending = waiting.aggregate(count=Count("pk"), oldest=Min("created"))
    age = (timezone.now() - pending["oldest"]).total_seconds() if pending["oldest"] else 0.0
    yield _gauge("digits_submissions_pending", "Submissions without an answer.", pending["count"])
    # Negative for one of before the clock was set back.
    yield _gauge("digits_submissions_pending_age_seconds", "Age of the oldest of them.", abs(age))
    newest = Submission.objects.order_by("-id").values_list("id", flat=True).first()
    # As good as a counter, and one look at an index: ids are given in order and never again.
    submissions = CounterMetricFamily("digits_submissions", "Submissions accepted so far, deleted ones included.")
    submissions.add_metric([], newest or 0)
    yield submissions


def _training() -> Iterator[Metric]:
    state = GaugeMetricFamily("digits_training_state", "1 for the state of the latest training run.", labels=["state"])
    latest = TrainingRun.objects.only("state", "progress", "finished").first()
    for name in RunState.values:
        state.add_metric([name], int(latest is not None and latest.state == name))
    yield state
    active = latest is not None and latest.state in ACTIVE_RUN_STATES
    share = float(latest.progress.get("share", 0.0)) if active else 0.0
    yield _gauge("digits_training_progress", "How far the active run is, 0 to 1.", share)
    finished = latest.finished.timestamp() if latest is not None and latest.finished else 0
    yield _gauge("digits_training_finished_seconds", "When the latest run ended, Unix time; 0: not yet.", finished)


def _drift() -> Iterator[Metric]:
    now = drift.measure()
    index = GaugeMetricFamily(
        "digits_drift_index",
        "Population stability index of recent answers against those before; above 0.25 something changed.",
        labels=["of"],
    )
    for name, value in (("digits", now.digits), ("certainty", now.certainty)):
        if value is not None:
            index.add_metric([name], value)
    yield index
    if now.mean_certainty is not None:
        yield _gauge("digits_recent_certainty", "Mean certainty of recent answers.", now.mean_certainty)
        yield _gauge("digits_recent_sure_share", "Share of recent answers that are sure.", now.sure_share)


def _from_redis() -> Iterator[Metric]:
    link = handoff.link()
    if link.circuit.is_open():  # it is known to be frozen, and asking would take a time-out
        raise redis.TimeoutError("Redis does not answer.")
    yield _gauge("digits_queue_length", "Submissions on the hand-off list.", link.queue_length())
    workers = link.heartbeats()
    yield _gauge("digits_workers", "Prediction workers whose heart beats.", len(workers))
    silence = GaugeMetricFamily(
        "digits_canary_age_seconds", "Since a worker of this queue last took a task.", labels=["queue"]
    )
    for queue, seconds in liveness.last_seen().items():
        silence.add_metric([queue], seconds)
    yield silence
    yield from _tallied(tally.read(link.redis))
    lengths = GaugeMetricFamily("digits_celery_queue_length", "Messages waiting in a Celery queue.", labels=["queue"])
    with current_app.pool.acquire(block=True, timeout=1) as broker:
        for queue in CELERY_QUEUES:
            lengths.add_metric([queue], broker.default_channel.client.llen(queue))
    yield lengths


def _tallied(counted: tally.Tally) -> Iterator[Metric]:
    answers = CounterMetricFamily("digits_predictions", "Answers by digit and verdict.", labels=["digit", "verdict"])
    for (digit, verdict), count in sorted(counted.answers.items()):
        answers.add_metric([str(digit), verdict], count)
    yield answers
    failed = CounterMetricFamily("digits_predictions_failed", "Submissions that could not be answered.")
    failed.add_metric([], counted.failed)
    yield failed
    buckets, so_far = [], 0
    for size, count in zip((*tally.BATCH_SIZES, "+Inf"), counted.batches, strict=True):
        so_far += count
        buckets.append((str(size), so_far))
    sizes = HistogramMetricFamily("digits_batch_size", "Submissions that were answered together.")
    sizes.add_metric([], buckets, sum_value=sum(counted.answers.values()) + counted.failed)
    yield sizes
    seconds = CounterMetricFamily("digits_model_seconds", "Time spent in forward passes.")
    seconds.add_metric([], counted.model_seconds)
    yield seconds


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
