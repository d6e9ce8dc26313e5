"""Prometheus metrics, served at `/metrics`.

Requests are counted by each web process, in the outermost middleware; if there are several, a scrape adds up the
counts of all (https://prometheus.github.io/client_python/multiprocess/). All other metrics are read from the database
and Redis at each scrape, so that every process returns the same values. Names follow
https://prometheus.io/docs/practices/naming/.
"""

import itertools
import logging
from collections.abc import Iterator, Mapping
from functools import partial

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from recognizer.models import RunState, Submission, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.inference import counters, producer
from recognizer.services.lib.redis_client import redis_or_none
from recognizer.services.registry import versions

from . import disk_usage, drift, facts, health
from .facts import Facts

log = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CELERY_QUEUES = ("predictions", "default", "train")
LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10)

# Combined by the minimum; those of several web processes are added otherwise.
NOT_ADDED = ("process_start_time_seconds", "process_max_fds")

# Counts of this process, which are kept in files if there are several.
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


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format; those of an unavailable part are left out (see `digits_up`)."""
    return generate_latest(_registry)


class _ProcessMetrics(Collector):
    """Standard metrics of processes, added up over all web processes."""

    def collect(self) -> Iterator[Metric]:
        collected: dict[str, list[Metric]] = {}
        for process in facts.web_processes():
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
        site = Facts()
        checks = {result.name: result.is_ok for result in health.run_checks(health.READINESS, known=site)}
        yield _gauges("digits_check_ok", "Whether the check of this part passes.", "check", checks)
        up = {"database": checks["database"], "redis": site.redis is not None}
        yield _gauges("digits_up", "Whether this part can be reached.", "part", up)
        for part, read in (("database", _database_metrics), ("redis", _redis_metrics)):
            try:
                yield from read(site) if up[part] else ()
            except (DatabaseError, versions.RegistryError, OSError) as error:
                log.warning("%s metrics unavailable: %s", part, error)


_registry.register(_ProcessMetrics())  # before the counts, in which it removes the gauges of ended processes
_registry.register(MultiProcessCollector(None) if facts.METRICS_FOLDER else _counts)  # type: ignore[no-untyped-call]
_registry.register(_SharedMetrics())


def _database_metrics(site: Facts) -> list[Metric]:
    count, oldest = site.pending
    # The age is negative if the clock was set back since.
    age = abs((timezone.now() - oldest).total_seconds()) if oldest else 0.0
    # The newest id works as a counter, because ids are ascending and never reused, and takes one index lookup.
    newest = Submission.objects.order_by("-id").values_list("id", flat=True).first()
    live = site.deployment
    since = live.created.timestamp()
    return [
        _gauge("digits_submissions_pending", "Submissions without a prediction.", count),
        _gauge("digits_submissions_pending_age_seconds", "Age of the oldest pending submission.", age),
        _counter("digits_submissions", "Submissions accepted, including deleted ones.", newest or 0),
        *_training(site.latest_run),
        *_drift(),
        _gauge("digits_pictures_bytes", "Size of stored images (an estimate if there are many).", site.images.bytes),
        _gauge("digits_pictures_files", "Stored images (an estimate if there are many).", site.images.files),
        _gauge("digits_database_bytes", "Size of the database.", site.database_bytes),
        _gauge("digits_free_bytes", "Free space on the disk of the images.", disk_usage.free_bytes()),
        _gauge("digits_live_version", "Number of the live model version.", live.to_version.number),
        _gauge("digits_live_since_seconds", "When the live version was deployed, Unix time.", since),
    ]


def _training(latest: TrainingRun | None) -> list[Metric]:
    states = {name: latest is not None and latest.state == name for name in RunState.values}
    is_active = latest is not None and latest.state in ACTIVE_RUN_STATES
    share = float(latest.progress.get("share", 0.0)) if latest is not None and is_active else 0.0
    ended = latest.finished.timestamp() if latest is not None and latest.finished else 0
    return [
        _gauges("digits_training_state", "1 for the state of the latest training run.", "state", states),
        _gauge("digits_training_progress", "Progress of the active run, 0 to 1.", share),
        _gauge("digits_training_finished_seconds", "When the latest run ended, Unix time; 0 if it has not.", ended),
    ]


def _drift() -> list[Metric]:
    current = drift.measure()
    indexes = {"digits": current.digits, "certainty": current.certainty}
    index = _gauges(
        "digits_drift_index",
        "Population stability index of recent predictions against earlier ones; above 0.25 is a significant change.",
        "of",
        {name: value for name, value in indexes.items() if value is not None},
    )
    if current.mean_certainty is None or current.sure_share is None:
        return [index]
    return [
        index,
        _gauge("digits_recent_certainty", "Mean certainty of recent predictions.", current.mean_certainty),
        _gauge("digits_recent_sure_share", "Share of recent predictions that are sure.", current.sure_share),
    ]


def _redis_metrics(site: Facts) -> list[Metric]:
    with redis_or_none("redis metrics unavailable") as client:
        if client is not None and site.redis is not None:
            ages = site.redis.probe_ages
            lengths = {queue: producer.message_count(queue) for queue in CELERY_QUEUES}
            return [
                _gauge("digits_queue_length", "Submissions in the prediction queue.", site.redis.queue_length),
                _gauge("digits_workers", "Prediction workers with a current heartbeat.", len(site.redis.heartbeats)),
                _gauges("digits_canary_age_seconds", "Time since a worker consumed the last canary.", "queue", ages),
                *_worker_counters(counters.read(client)),
                _gauges("digits_celery_queue_length", "Messages waiting in a Celery queue.", "queue", lengths),
            ]
    return []


def _worker_counters(totals: counters.Totals) -> list[Metric]:
    predictions = CounterMetricFamily(
        "digits_predictions", "Predictions by digit and verdict.", labels=["digit", "verdict"]
    )
    for (digit, verdict), count in sorted(totals.predictions.items()):
        predictions.add_metric([str(digit), verdict], count)
    sizes = zip((*map(str, counters.BATCH_SIZES), "+Inf"), itertools.accumulate(totals.batches), strict=True)
    predicted = sum(totals.predictions.values()) + totals.failed
    return [
        predictions,
        _counter("digits_predictions_failed", "Submissions that could not be predicted.", totals.failed),
        HistogramMetricFamily(
            "digits_batch_size", "Submissions predicted in one batch.", buckets=list(sizes), sum_value=predicted
        ),
        _counter("digits_model_seconds", "Time spent in forward passes.", totals.model_seconds),
    ]


def _counter(name: str, description: str, value: float) -> Metric:
    return CounterMetricFamily(name, description, value=value)


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=value)


def _gauges(name: str, description: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, description, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
