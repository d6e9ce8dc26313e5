"""Status checks of all parts of the site for operators, with advice for those that fail. Reads only."""

import logging
import math
import platform
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import django
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django.utils import timezone

from ml.serving import bundle as bundles
from recognizer.models import ModelFiles, RunState, Submission, SubmissionState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.inference import streams
from recognizer.services.lib.redis_client import redis_or_none
from recognizer.services.lib.units import MEGABYTE
from recognizer.services.registry import versions
from recognizer.services.training import presenters, scheduling

from . import disk_usage, health, liveness, writability

log = logging.getLogger(__name__)

# Longest normal wait for a prediction, which takes milliseconds.
MAX_WAIT = timedelta(minutes=1)
# With less free space the database may soon be unable to write.
MIN_FREE_BYTES = 1024 * MEGABYTE
# A trainer without a probe for this long was most likely switched off, which is a fault only if a training waits.
SWITCHED_OFF_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Check:
    """Result of a status check.

    Attributes:
        name: Identifier of the check.
        title: Title on the page.
        is_well: Whether the part works.
        says: State of the part as text.
        what_to_do: Advice if the part does not work, or "".
        when: A time that completes `says`.
    """

    name: str
    title: str
    is_well: bool
    says: str
    what_to_do: str = ""
    when: datetime | None = None


def checks() -> list[Check]:
    """Run all checks, in the order in which an operator would look for a fault."""
    results = _database()
    # These need the database.
    with_database = (_queue, _model, _training, _next_training) if all(check.is_well for check in results) else ()
    for run_check in (_redis, *with_database, _storage, _disk, _version):
        results += run_check()
    return [replace(check, what_to_do="") if check.is_well else check for check in results]


def _database() -> list[Check]:
    kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(connection.vendor, connection.vendor)
    try:
        connection.ensure_connection()
        size = disk_usage.database_bytes()
        missing = health.unapplied_migrations()
    except DatabaseError as error:
        return [
            Check(
                "database",
                "Database",
                is_well=False,
                says=f"{kind} cannot be reached: {_first_line(error)}",
                what_to_do="Start it, or correct DATABASE_URL. Nothing is served until then.",
            )
        ]
    return [
        Check("database", "Database", is_well=True, says=f"{kind}, {size / MEGABYTE:.1f} MB"),
        Check(
            "migrations",
            "Migrations",
            is_well=not missing,
            says=f"{len(missing)} not applied: {', '.join(missing[:3])}" if missing else "All applied",
            what_to_do="Run `manage.py prepare`, or start the site anew, which does it.",
        ),
    ]


def _redis() -> list[Check]:
    with redis_or_none("redis status unavailable") as client:
        if client is not None:
            return _checks_of_redis(client.info(), streams.heartbeats(client), liveness.last_seen())
    return [
        Check(
            "redis",
            "Redis",
            is_well=False,
            says="Cannot be reached",
            what_to_do="Start it, or correct REDIS_URL. Submissions are kept meanwhile, and answered afterwards.",
        )
    ]


def _checks_of_redis(info: dict[str, Any], heartbeats: dict[str, float], probes: dict[str, float]) -> list[Check]:
    kind = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version")
    memory = int(info["used_memory"]) / MEGABYTE
    return [
        _redis_server(f"{kind} {version}, {memory:.1f} MB", info),
        _prediction_workers(heartbeats),
        _default_worker(probes.get(liveness.DEFAULT)),
        _trainer(probes.get(liveness.TRAIN)),
    ]


def _redis_server(says: str, info: dict[str, Any]) -> Check:
    """Check memory and persistence of Redis. `info` is the result of its command INFO."""
    what_to_do = ""
    if 0 < int(info.get("maxmemory", 0)) <= int(info["used_memory"]):
        says += "; its memory is full"
        what_to_do = "Raise its maxmemory. Submissions are kept meanwhile, and answered afterwards."
    elif info.get("aof_last_write_status", "ok") != "ok":
        says += "; it cannot write its file"
        what_to_do = "Make room on its disk, or give its folder to its account. Submissions are kept meanwhile."
    return Check("redis", "Redis", is_well=not what_to_do, says=says, what_to_do=what_to_do)


def _prediction_workers(heartbeats: dict[str, float]) -> Check:
    last = ", ".join(f"{name} {age:.0f} s ago" for name, age in sorted(heartbeats.items()))
    return Check(
        "predictions",
        "Prediction workers",
        is_well=bool(heartbeats),
        says=f"Heard of {last}" if heartbeats else "None was heard of in the last seconds",
        what_to_do="Look at its log and start it: submissions wait for it. A worker that is well again serves them.",
    )


def _default_worker(probe_age: float | None) -> Check:
    return Check(
        "default",
        "Default worker",
        is_well=probe_age is None or probe_age <= liveness.stall_timeout(),
        says="Not heard of yet" if probe_age is None else _format_age(probe_age),
        what_to_do="Look at its log and start it: it keeps the time, for trainings and for what is swept.",
    )


def _trainer(probe_age: float | None) -> Check:
    try:
        running = TrainingRun.objects.filter(state=RunState.RUNNING).values_list("pk", flat=True).first()
        waiting = TrainingRun.objects.filter(state=RunState.QUEUED).exists()
    except DatabaseError:  # reported by the check of the database
        running, waiting = None, False
    if probe_age is None or SWITCHED_OFF_AFTER.total_seconds() < probe_age < math.inf:
        says, is_well = "Not heard of; with TRAINER=0 there is none", not waiting
    else:
        says, is_well = _format_age(probe_age), probe_age <= liveness.stall_timeout()
    return Check(
        "trainer",
        "Trainer",
        is_well=running is not None or is_well,
        says=says if running is None else f"Busy with training run {running}",
        what_to_do="Look at its log and start it: trainings wait for it.",
    )


def _format_age(probe_age: float) -> str:
    if probe_age == math.inf:
        return "Not heard of since the clock was set back"
    return f"Heard of {max(0.0, probe_age):.0f} s ago"


def _queue() -> list[Check]:
    waiting = Submission.objects.filter(state=SubmissionState.PENDING)
    pending = waiting.aggregate(count=Count("pk"), oldest=Min("created"))
    # A creation time in the future is from before the clock was set back.
    is_late = pending["oldest"] is not None and abs(timezone.now() - pending["oldest"]) > MAX_WAIT
    return [
        Check(
            "queue",
            "Queue",
            is_well=not is_late,
            says=f"{pending['count']} waiting, the oldest since" if pending["count"] else "Nothing waits",
            what_to_do="Are prediction workers and Redis well? If so, add workers: see docs/how-to/scale.md.",
            when=pending["oldest"],
        )
    ]


def _model() -> list[Check]:
    try:
        live = versions.live_deployment()
        data = ModelFiles.objects.filter(version=live.to_version_id).values_list("bundle", flat=True).first()
        bundles.read(bytes(data or b""), sha256=live.to_version.bundle_sha256)
    except versions.NoLiveModelError as error:
        return [Check("model", "Live model", is_well=False, says="None", what_to_do=str(error))]
    except bundles.BundleError as error:
        return [
            Check(
                "model",
                "Live model",
                is_well=False,
                says=f"Version {live.to_version.number}: {error}",
                what_to_do="Promote or roll back to another version on the Models page, or restore a backup.",
            )
        ]
    says = f"Version {live.to_version.number}, its files are what was recorded; live since"
    return [Check("model", "Live model", is_well=True, says=says, when=live.created)]


def _training() -> list[Check]:
    latest = TrainingRun.objects.defer("log").first()
    if latest is None:
        return [Check("training", "Last training", is_well=True, says="None yet")]
    reason = latest.reasons[0] if latest.reasons else ""
    is_active = latest.state in ACTIVE_RUN_STATES
    details = f"{presenters.state_of(latest)['line']}; asked for" if is_active else reason
    return [
        Check(
            "training",
            "Last training",
            is_well=latest.state != RunState.FAILED,
            says=f"Run {latest.pk}: {latest.get_state_display().lower()}. {details}".strip(),
            what_to_do="It is tried again by itself. Its log is on the Models page."
            if scheduling.is_retried(latest)
            else "Its log is on the Models page. Put right what it says, then retrain.",
            when=latest.finished or latest.created,
        )
    ]


def _next_training() -> list[Check]:
    upcoming = presenters.next_run()
    is_automatic = upcoming.labels is not None or upcoming.when is not None
    triggers = []
    if upcoming.labels is not None:
        triggers.append(f"after {upcoming.labels} more settled label{'' if upcoming.labels == 1 else 's'}")
    if upcoming.when is not None:
        triggers.append("if there is something new, from")
    return [
        Check(
            "next",
            "Next training",
            is_well=True,
            says=", or ".join(triggers).capitalize() if triggers else "Only when somebody asks for it",
            when=upcoming.when,
        ),
        Check(
            "mnist",
            "MNIST for training",
            is_well=not (upcoming.needs_mnist and is_automatic),
            says="Not here yet" if upcoming.needs_mnist else "At hand",
            what_to_do="The first training fetches it. Without internet, set MNIST_PATH to mnist.npz.",
        ),
    ]


def _storage() -> list[Check]:
    try:
        paths = writability.unwritable_paths()
    except DatabaseError:  # reported by the check of the database
        return []
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return [
        Check(
            "storage",
            "Storage",
            is_well=not paths,
            says=f"May not be written: {paths[0]}{more}" if paths else "Can be written",
            what_to_do=f"Give {settings.DATA_DIR} to the account that runs the site (chown -R), on a disk that is not "
            "read-only. What people send is refused until then.",
        )
    ]


def _disk() -> list[Check]:
    free, images = disk_usage.free_bytes(), disk_usage.image_usage()
    about = "" if images.is_exact else "about "
    return [
        Check(
            "disk",
            "Disk",
            is_well=free >= MIN_FREE_BYTES,
            says=f"{free / MEGABYTE / 1024:.1f} GB free; "
            f"{about}{images.files} pictures take {images.bytes / MEGABYTE:.1f} MB",
            what_to_do=f"Make room in {settings.DATA_DIR}: without any, nothing can be stored.",
        )
    ]


def _version() -> list[Check]:
    says = f"Digits {settings.VERSION}, Django {django.__version__}, Python {platform.python_version()}"
    return [Check("version", "Version", is_well=True, says=says)]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
