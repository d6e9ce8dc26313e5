"""Health checks of all parts of the site: one table for the Status page, `manage.py status`, /readyz and /metrics.

Checks read only, and never raise.
"""

import logging
import math
import platform
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any

import django
from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from ml.serving import bundle as bundles
from recognizer.models import ModelFiles, RunState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.lib.units import MEGABYTE
from recognizer.services.registry import versions
from recognizer.services.training import presenters, scheduling

from . import disk_usage, facts, liveness, writability
from .facts import Facts, RedisFacts

log = logging.getLogger(__name__)

# Longest normal wait for a prediction, which takes milliseconds.
MAX_WAIT = timedelta(minutes=1)
# With less free space the database may soon be unable to write.
MIN_FREE_BYTES = 1024 * MEGABYTE
# A trainer without a probe for this long was most likely switched off, which is a fault only if a training waits.
SWITCHED_OFF_AFTER = timedelta(days=1)
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class Severity(StrEnum):
    """Severity of a result."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Outcome:
    """State of a part of the site, found by a check.

    Attributes:
        is_ok: Whether the part works.
        text: State of the part.
        when: A time that completes the text.
        advice: Replaces the advice of the check.
    """

    is_ok: bool
    text: str
    when: datetime | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A health check.

    Attributes:
        name: Identifier.
        title: Title on the page.
        function: Looks at the facts. None instead of an outcome: the part does not exist here.
        advice: What to do if the part does not work.
        severity: Severity of a failure.
        needs: Name of an earlier check. If that one fails, this one is left out.
    """

    name: str
    title: str
    function: Callable[[Facts], Outcome | None]
    advice: str = ""
    severity: Severity = Severity.CRITICAL
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of a check; the attributes are those of `Check` and `Outcome`. The advice is empty if the part works."""

    name: str
    title: str
    severity: Severity
    text: str
    advice: str
    when: datetime | None

    @property
    def is_ok(self) -> bool:
        """True if the part works."""
        return self.severity is Severity.OK


def run_checks(names: Collection[str] = (), *, known: Facts | None = None) -> list[Result]:
    """Run checks, in the order in which an operator would look for a fault.

    Args:
        names: Names of the checks; empty for all.
        known: Facts that the caller needs as well.
    """
    site, results = known or Facts(), dict[str, Result]()
    for check in CHECKS:
        needed = results.get(check.needs)
        if (names and check.name not in names) or (check.needs and not (needed and needed.is_ok)):
            continue
        try:
            outcome = check.function(site)
        except DatabaseError as error:
            outcome = Outcome(is_ok=False, text=f"Cannot be checked: {_first_line(error)}")
        if outcome is not None:
            severity, advice = (Severity.OK, "") if outcome.is_ok else (check.severity, outcome.advice or check.advice)
            results[check.name] = Result(check.name, check.title, severity, outcome.text, advice, outcome.when)
    return list(results.values())


# Parts without which the site cannot serve requests. Without a worker it can, because submissions wait in the queue.
REQUIRED = ("database", "migrations", "storage", "redis", "model")
READINESS = (*REQUIRED, "worker")


def readiness() -> tuple[bool, dict[str, Any]]:
    """Return whether the site can serve requests, and the state of each part. Failures are logged.

    The state is True for each part that works. `model` is the number of the live version, and `stuck` lists the queues
    that have work waiting and whose worker is missing or has stopped consuming.
    """
    site = Facts()
    results = run_checks(READINESS, known=site)
    working = {result.name for result in results if result.is_ok}
    for result in results:
        if result.name in REQUIRED and not result.is_ok:
            log.warning("not ready: %s: %s", result.name, result.text)
    state: dict[str, Any] = {name: name in working for name in READINESS}
    state["model"] = site.deployment.to_version.number if "model" in working else None
    state["stuck"] = liveness.stalled_queues() if working >= {"migrations", "redis"} else []
    return working.issuperset(REQUIRED), state


def _database(site: Facts) -> Outcome:
    kind = DATABASES.get(connection.vendor, connection.vendor)
    try:
        connection.ensure_connection()
        return Outcome(is_ok=True, text=f"{kind}, {site.database_bytes / MEGABYTE:.1f} MB")
    except DatabaseError as error:
        return Outcome(is_ok=False, text=f"{kind} cannot be reached: {_first_line(error)}")


def _migrations(site: Facts) -> Outcome:
    missing = site.unapplied_migrations
    text = f"{len(missing)} not applied: {', '.join(missing[:3])}" if missing else "All applied"
    return Outcome(is_ok=not missing, text=text)


def _redis(site: Facts) -> Outcome:
    if site.redis is None:
        return Outcome(is_ok=False, text="Cannot be reached")
    info = site.redis.info
    kind = "Valkey" if "valkey_version" in info else "Redis"
    version, memory = info.get("valkey_version") or info.get("redis_version"), int(info["used_memory"])
    text = f"{kind} {version}, {memory / MEGABYTE:.1f} MB"
    if 0 < int(info.get("maxmemory", 0)) <= memory:
        advice = "Raise its maxmemory. Submissions are kept meanwhile, and answered afterwards."
        return Outcome(is_ok=False, text=f"{text}; its memory is full", advice=advice)
    if info.get("aof_last_write_status", "ok") != "ok":
        advice = "Make room on its disk, or give its folder to its account. Submissions are kept meanwhile."
        return Outcome(is_ok=False, text=f"{text}; it cannot write its file", advice=advice)
    return Outcome(is_ok=True, text=text)


def _web(_site: Facts) -> Outcome | None:
    if not facts.METRICS_FOLDER:  # there is one process, or this one is none of them
        return None
    count = len(facts.web_processes())
    return Outcome(is_ok=count >= settings.WEB_PROCESSES, text=f"{count} of {settings.WEB_PROCESSES} are running")


def _worker(site: Facts) -> Outcome:
    if not settings.PREDICTION_CONSUMER:  # which sends the heartbeats
        return _probed(liveness.PREDICTIONS, site)
    heartbeats = _redis_of(site).heartbeats
    last = ", ".join(f"{name} {age:.0f} s ago" for name, age in sorted(heartbeats.items()))
    return Outcome(bool(heartbeats), f"Heard of {last}" if heartbeats else "None was heard of in the last seconds")


def _probed(queue: str, site: Facts) -> Outcome:
    age = _redis_of(site).probe_ages.get(queue)
    if age is None:
        return Outcome(is_ok=True, text="Not heard of yet")
    return Outcome(age <= liveness.stall_timeout(), _format_age(age))


def _trainer(site: Facts) -> Outcome:
    runs = TrainingRun.objects.filter(state__in=(RunState.RUNNING, RunState.QUEUED)).values_list("state", "pk")
    active = dict(runs)
    if RunState.RUNNING in active:
        return Outcome(is_ok=True, text=f"Busy with training run {active[RunState.RUNNING]}")
    age = _redis_of(site).probe_ages.get(liveness.TRAIN)
    if age is None or SWITCHED_OFF_AFTER.total_seconds() < age < math.inf:
        return Outcome(RunState.QUEUED not in active, "Not heard of; with TRAINER=0 there is none")
    return Outcome(age <= liveness.stall_timeout(), _format_age(age))


def _redis_of(site: Facts) -> RedisFacts:
    if site.redis is None:
        raise RuntimeError("The check of Redis comes first.")
    return site.redis


def _format_age(age: float) -> str:
    if age == math.inf:
        return "Not heard of since the clock was set back"
    return f"Heard of {max(0.0, age):.0f} s ago"


def _queue(site: Facts) -> Outcome:
    count, oldest = site.pending
    # A creation time in the future is from before the clock was set back.
    is_late = oldest is not None and abs(timezone.now() - oldest) > MAX_WAIT
    text = f"{count} waiting" + (", the oldest since" if oldest else "") if count else "Nothing waits"
    return Outcome(not is_late, text, when=oldest)


def _model(site: Facts) -> Outcome:
    try:
        live = site.deployment
    except versions.NoLiveModelError as error:
        return Outcome(is_ok=False, text="None", advice=str(error))
    return Outcome(is_ok=True, text=f"Version {live.to_version.number}, live since", when=live.created)


def _model_files(site: Facts) -> Outcome:
    live = site.deployment
    data = ModelFiles.objects.filter(version=live.to_version_id).values_list("bundle", flat=True).first()
    try:
        bundles.read(bytes(data or b""), sha256=live.to_version.bundle_sha256)
    except bundles.BundleError as error:
        return Outcome(is_ok=False, text=f"Those of version {live.to_version.number} are damaged: {error}")
    return Outcome(is_ok=True, text="As recorded")


def _training(site: Facts) -> Outcome:
    latest = site.latest_run
    if latest is None:
        return Outcome(is_ok=True, text="None yet")
    reason = latest.reasons[0] if latest.reasons else ""
    is_active = latest.state in ACTIVE_RUN_STATES
    details = f"{presenters.state_of(latest)['line']}; asked for" if is_active else reason
    return Outcome(
        is_ok=latest.state != RunState.FAILED,
        text=f"Run {latest.pk}: {latest.get_state_display().lower()}. {details}".strip(),
        when=latest.finished or latest.created,
        advice="It is tried again by itself. Its log is on the Models page." if scheduling.is_retried(latest) else "",
    )


def _next_training(site: Facts) -> Outcome:
    upcoming = site.next_run
    triggers = []
    if upcoming.labels is not None:
        triggers.append(f"after {upcoming.labels} more settled label{'' if upcoming.labels == 1 else 's'}")
    if upcoming.when is not None:
        triggers.append("if there is something new, from")
    text = ", or ".join(triggers).capitalize() if triggers else "Only when an operator asks for it"
    return Outcome(is_ok=True, text=text, when=upcoming.when)


def _mnist(site: Facts) -> Outcome:
    upcoming = site.next_run
    is_automatic = upcoming.labels is not None or upcoming.when is not None
    is_missing = upcoming.needs_mnist and is_automatic
    return Outcome(not is_missing, "Not here yet" if upcoming.needs_mnist else "At hand")


def _storage(_site: Facts) -> Outcome:
    paths = writability.unwritable_paths()
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return Outcome(not paths, f"May not be written: {paths[0]}{more}" if paths else "Can be written")


def _disk(site: Facts) -> Outcome:
    free, images = disk_usage.free_bytes(), site.images
    about = "" if images.is_exact else "about "
    return Outcome(
        is_ok=free >= MIN_FREE_BYTES,
        text=f"{free / MEGABYTE / 1024:.1f} GB free; "
        f"{about}{images.files} pictures take {images.bytes / MEGABYTE:.1f} MB",
    )


def _version(_site: Facts) -> Outcome:
    text = f"Digits {settings.VERSION}, Django {django.__version__}, Python {platform.python_version()}"
    return Outcome(is_ok=True, text=text)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


CHECKS = (
    Check("database", "Database", _database, "Start it, or correct DATABASE_URL. Nothing is served until then."),
    Check(
        "migrations",
        "Migrations",
        _migrations,
        "Run `manage.py prepare`, or start the site again, which does it.",
        needs="database",
    ),
    Check(
        "storage",
        "Storage",
        _storage,
        f"Give {settings.DATA_DIR} to the account that runs the site (chown -R), on a disk that is not read-only. "
        "What people send is refused until then.",
        needs="database",
    ),
    Check(
        "redis",
        "Redis",
        _redis,
        "Start it, or correct REDIS_URL. Submissions are kept meanwhile, and answered afterwards.",
    ),
    Check(
        "web",
        "Web processes",
        _web,
        "Look at the log of the web server, which starts them again.",
        Severity.WARNING,
    ),
    Check(
        "worker",
        "Prediction workers",
        _worker,
        "Look at its log and start it: submissions wait for it. A worker that is well again serves them.",
        needs="redis",
    ),
    Check(
        "default",
        "Default worker",
        partial(_probed, liveness.DEFAULT),
        "Look at its log and start it: it keeps the time, for trainings and for what is swept.",
        needs="redis",
    ),
    Check(
        "trainer",
        "Trainer",
        _trainer,
        "Look at its log and start it: trainings wait for it.",
        Severity.WARNING,
        needs="redis",
    ),
    Check(
        "queue",
        "Queue",
        _queue,
        "Do prediction workers and Redis work? If so, more workers are needed: see docs/how-to/scale.md.",
        Severity.WARNING,
        needs="migrations",
    ),
    Check("model", "Live model", _model, needs="migrations"),
    Check(
        "model_files",
        "Model files",
        _model_files,
        "Promote or roll back to another version on the Models page, or restore a backup.",
        needs="model",
    ),
    Check(
        "training",
        "Last training",
        _training,
        "Its log is on the Models page. Put right what it says, then retrain.",
        Severity.WARNING,
        needs="migrations",
    ),
    Check("next", "Next training", _next_training, needs="migrations"),
    Check(
        "mnist",
        "MNIST for training",
        _mnist,
        "The first training fetches it. Without internet, set MNIST_PATH to mnist.npz.",
        Severity.WARNING,
        needs="migrations",
    ),
    Check("disk", "Disk", _disk, f"Make room in {settings.DATA_DIR}: without any, nothing can be stored."),
    Check("version", "Version", _version),
)
