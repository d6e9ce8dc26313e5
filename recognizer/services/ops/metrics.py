"""Prometheus metrics, served at `/metrics`.

Requests are counted by each web process, in the outermost middleware; if there are several, a scrape adds up the
counts of all (https://prometheus.github.io/client_python/multiprocess/). All other metrics are read from the database
and Redis at each scrape, so that every process returns the same values. Names follow
https://prometheus.io/docs/practices/naming/.
"""

import logging
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import redis
from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from recognizer.models import RunState, Submission, SubmissionState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.inference import counters, producer, streams
from recognizer.services.lib.redis_client import redis_or_none
from recognizer.services.registry import versions

from . import disk_usage, drift, liveness

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CELERY_QUEUES = ("predictions", "default", "train")
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)

# Combined by the minimum; those of several web processes are added otherwise.
NOT_ADDED = ("process_start_time_seconds", "process_max_fds")

# Counts of this process. They are kept in files of a folder that all web processes share, if there are several
# (digitsite/server/__main__.py).
_folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
_counts = CollectorRegistry(auto_describe=False)
_requests = Counter("digits_http_requests", "HTTP requests.", ["method", "view", "status"], registry=_counts)
_latency = Histogram(
    "digits_http_request_seconds",
    "Time from request to response, without the network.",
    ["view"],
    buckets=LATENCY_BUCKETS,
    registry=_counts,
)
Gauge("digits_web_processes", "Web processes that are running.", multiprocess_mode="livesum", registry=_counts).set(1)
_registry = CollectorRegistry(auto_describe=False)
Info("digits_build", "Version of the running code.", registry=_registry).info({"version": settings.VERSION})


def count_request(*, method: str, view: str, status: int, seconds: float) -> None:
    """Count a request. `view` is the name of a view, which has few values and no personal data."""
    _requests.labels(method if method in METHODS else "other", view, str(status)).inc()
    _latency.labels(view).observe(seconds)


def web_processes() -> list[int]:
    """Return the ids of the web processes that are running, of the server to which this process belongs."""
    if not _folder:
        return [os.getpid()]
    ids = [int(path.stem.rpartition("_")[2]) for path in Path(_folder).glob("gauge_livesum_*.db")]
    running = [number for number in ids if _is_running(number)]
    for number in set(ids).difference(running):
        mark_process_dead(number)  # type: ignore[no-untyped-call]
    return running


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format; those of an unavailable part are left out (see `digits_up`)."""
    return generate_latest(_registry)


class _ProcessMetrics(Collector):
    """Standard metrics of processes, added up over all web processes."""

    def collect(self) -> Iterator[Metric]:
        collected: dict[str, list[Metric]] = {}
        for process in web_processes():
            for metric in ProcessCollector(pid=partial(int, process), registry=None).collect():
                collected.setdefault(metric.name, []).append(metric)
        for name, metrics in collected.items():
            values = [metric.samples[0].value for metric in metrics]
            total = min(values) if name in NOT_ADDED else sum(values)
            metrics[0].samples = [metrics[0].samples[0]._replace(value=total)]
            yield metrics[0]


class _SharedMetrics(Collector):
    """Metrics from the database and Redis, read at each scrape in constant time."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("digits_up", "Whether this part can be reached.", labels=["part"])
        for part, read in (("database", _from_database), ("redis", _from_redis)):
            metrics = read()
            up.add_metric([part], int(bool(metrics)))
            yield from metrics
        yield up


_registry.register(_ProcessMetrics())  # before the counts, in which it removes the gauges of ended processes
_registry.register(MultiProcessCollector(None) if _folder else _counts)  # type: ignore[no-untyped-call]
_registry.register(_SharedMetrics())


def _from_database() -> list[Metric]:
    """Return the metrics of the database; none if it is unavailable."""
    try:
        return list(_database_metrics())
    except (DatabaseError, versions.RegistryError, OSError) as error:
        log.warning("database metrics unavailable: %s", error)
        return []


def _from_redis() -> list[Metric]:
    """Return the metrics of Redis; none if it is unavailable."""
    with redis_or_none("redis metrics unavailable") as client:
        if client is not None:
            return list(_redis_metrics(client))
    return []


def _database_metrics() -> Iterator[Metric]:
    yield from _waiting_submissions()
    live = versions.live_deployment()
    yield _gauge("digits_live_version", "Number of the live model version.", live.to_version.number)
    yield _gauge(
        "digits_live_since_seconds", "When the live version was deployed, Unix time.", live.created.timestamp()
    )
    yield from _training()
    yield from _drift()
    images = disk_usage.image_usage()
    yield _gauge("digits_pictures_bytes", "Size of stored images (an estimate if there are many).", images.bytes)
    yield _gauge("digits_pictures_files", "Stored images (an estimate if there are many).", images.files)
    yield _gauge("digits_database_bytes", "Size of the database.", disk_usage.database_bytes())
    yield _gauge("digits_free_bytes", "Free space on the disk of the images.", disk_usage.free_bytes())


def _waiting_submissions() -> Iterator[Metric]:
    waiting = Submission.objects.filter(state=SubmissionState.PENDING)
    pending = waiting.aggregate(count=Count("pk"), oldest=Min("created"))
    age = (timezone.now() - pending["oldest"]).total_seconds() if pending["oldest"] else 0.0
    yield _gauge("digits_submissions_pending", "Submissions without a prediction.", pending["count"])
    # The age is negative if the clock was set back since.
    yield _gauge("digits_submissions_pending_age_seconds", "Age of the oldest pending submission.", abs(age))
    newest = Submission.objects.order_by("-id").values_list("id", flat=True).first()
    # The newest id works as a counter, because ids are ascending and never reused, and takes one index lookup.
    submissions = CounterMetricFamily("digits_submissions", "Submissions accepted, including deleted ones.")
    submissions.add_metric([], newest or 0)
    yield submissions


def _training() -> Iterator[Metric]:
    state = GaugeMetricFamily("digits_training_state", "1 for the state of the latest training run.", labels=["state"])
    latest = TrainingRun.objects.only("state", "progress", "finished").first()
    for name in RunState.values:
        state.add_metric([name], int(latest is not None and latest.state == name))
    yield state
    is_active = latest is not None and latest.state in ACTIVE_RUN_STATES
    share = float(latest.progress.get("share", 0.0)) if latest is not None and is_active else 0.0
    yield _gauge("digits_training_progress", "Progress of the active run, 0 to 1.", share)
    finished = latest.finished.timestamp() if latest is not None and latest.finished else 0
    yield _gauge("digits_training_finished_seconds", "When the latest run ended, Unix time; 0 if it has not.", finished)


def _drift() -> Iterator[Metric]:
    current = drift.measure()
    index = GaugeMetricFamily(
        "digits_drift_index",
        "Population stability index of recent predictions against earlier ones; above 0.25 is a significant change.",
        labels=["of"],
    )
    for name, value in (("digits", current.digits), ("certainty", current.certainty)):
        if value is not None:
            index.add_metric([name], value)
    yield index
    if current.mean_certainty is not None:
        yield _gauge("digits_recent_certainty", "Mean certainty of recent predictions.", current.mean_certainty)
    if current.sure_share is not None:
        yield _gauge("digits_recent_sure_share", "Share of recent predictions that are sure.", current.sure_share)


def _redis_metrics(client: redis.Redis) -> Iterator[Metric]:
    yield _gauge("digits_queue_length", "Submissions in the prediction queue.", streams.queue_length(client))
    yield _gauge("digits_workers", "Prediction workers with a current heartbeat.", len(streams.heartbeats(client)))
    ages = GaugeMetricFamily(
        "digits_canary_age_seconds", "Time since a worker of this queue last consumed a canary.", labels=["queue"]
    )
    for queue, seconds in liveness.last_seen().items():
        ages.add_metric([queue], seconds)
    yield ages
    yield from _worker_counters(counters.read(client))
    lengths = GaugeMetricFamily("digits_celery_queue_length", "Messages waiting in a Celery queue.", labels=["queue"])
    for queue in CELERY_QUEUES:
        lengths.add_metric([queue], producer.message_count(queue))
    yield lengths


def _worker_counters(totals: counters.Totals) -> Iterator[Metric]:
    predictions = CounterMetricFamily(
        "digits_predictions", "Predictions by digit and verdict.", labels=["digit", "verdict"]
    )
    for (digit, verdict), count in sorted(totals.predictions.items()):
        predictions.add_metric([str(digit), verdict], count)
    yield predictions
    failed = CounterMetricFamily("digits_predictions_failed", "Submissions that could not be predicted.")
    failed.add_metric([], totals.failed)
    yield failed
    buckets, cumulative = [], 0
    for size, count in zip((*counters.BATCH_SIZES, "+Inf"), totals.batches, strict=True):
        cumulative += count
        buckets.append((str(size), cumulative))
    sizes = HistogramMetricFamily("digits_batch_size", "Submissions predicted in one batch.")
    sizes.add_metric([], buckets, sum_value=sum(totals.predictions.values()) + totals.failed)
    yield sizes
    seconds = CounterMetricFamily("digits_model_seconds", "Time spent in forward passes.")
    seconds.add_metric([], totals.model_seconds)
    yield seconds


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=value)
