"""What an operator wants to know at a glance: each part of the site, well or not, and what to do where it is not.

Reads only; a part that cannot be asked is what is found.
"""

import logging
import math
import platform
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import django
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django.utils import timezone

from ml.serving import bundle as bundles
from recognizer.models import ModelFiles, RunState, Submission, SubmissionState, TrainingRun
from recognizer.models.choices import ACTIVE_RUN_STATES
from recognizer.services.inference import handoff
from recognizer.services.registry import versions
from recognizer.services.training import presenters, scheduling

from . import disk_usage, health, liveness, writability

log = logging.getLogger(__name__)

# An answer takes milliseconds; whoever waits for longer than this waits for nothing.
MAX_WAIT = timedelta(minutes=1)
# Below this the database may soon be unable to write.
MIN_FREE_BYTES = 1_000_000_000
# A trainer that was not heard of for so long was most likely switched off, and is missed only if a training waits.
SWITCHED_OFF = timedelta(days=1)
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One part. `what_to_do` is said where it is not well; `when` belongs to what `says` tells."""

    name: str
    title: str
    is_well: bool
    says: str
    what_to_do: str = ""
    when: datetime | None = None


def checks() -> list[Check]:
    """Every part, in the order in which one would look for a fault."""
    found = _database()
    # Without the database nothing else can be known.
    with_database = (_queue, _model, _training, _next_training) if all(check.is_well for check in found) else ()
    for part in (_redis, *with_database, _storage, _disk, _version):
        found += part()
    return [replace(check, what_to_do="") if check.is_well else check for check in found]


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
                says=f"{kind} cannot be reached: {_short(error)}",
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
    link = handoff.link()
    try:
        if link.circuit.is_open():  # it is known to be frozen, and asking would take a time-out
            raise redis.TimeoutError("it does not answer")
        about = link.redis.info()
        beats, canary = link.heartbeats(), liveness.last_seen()
    except (redis.RedisError, OSError) as error:
        if isinstance(error, redis.TimeoutError):  # so that nobody else waits for it
            link.circuit.trip()
        return [
            Check(
                "redis",
                "Redis",
                is_well=False,
                says=f"Cannot be reached: {_short(error)}",
                what_to_do="Start it, or correct REDIS_URL. Submissions are kept meanwhile, and answered afterwards.",
            )
        ]
    kind = "Valkey" if "valkey_version" in about else "Redis"
    version = about.get("valkey_version") or about.get("redis_version")
    memory = int(about["used_memory"]) / MEGABYTE
    return [
        _redis_server(f"{kind} {version}, {memory:.1f} MB", about),
        _prediction_workers(beats),
        _default_worker(canary.get(liveness.DEFAULT)),
        _trainer(canary.get(liveness.TRAIN)),
    ]


def _redis_server(says: str, about: dict) -> Check:
    """`about` is what Redis's INFO says."""
    what_to_do = ""
    if 0 < int(about.get("maxmemory", 0)) <= int(about["used_memory"]):
        says += "; its memory is full"
        what_to_do = "Raise its maxmemory. Submissions are kept meanwhile, and answered afterwards."
    elif about.get("aof_last_write_status", "ok") != "ok":
        says += "; it cannot write its file"
        what_to_do = "Make room on its disk, or give its folder to its account. Submissions are kept meanwhile."
    return Check("redis", "Redis", is_well=not what_to_do, says=says, what_to_do=what_to_do)


def _prediction_workers(beats: dict[str, float]) -> Check:
    last = ", ".join(f"{name} {age:.0f} s ago" for name, age in sorted(beats.items()))
    return Check(
        "predictions",
        "Prediction workers",
        is_well=bool(beats),
        says=f"Heard of {last}" if beats else "None was heard of in the last seconds",
        what_to_do="Look at its log and start it: submissions wait for it. A worker that is well again serves them.",
    )


def _default_worker(silence: float | None) -> Check:
    return Check(
        "default",
        "Default worker",
        is_well=silence is None or silence <= liveness.stall_timeout(),
        says="Not heard of yet" if silence is None else _heard(silence),
        what_to_do="Look at its log and start it: it keeps the time, for trainings and for what is swept.",
    )


def _trainer(silence: float | None) -> Check:
    try:
        running = TrainingRun.objects.filter(state=RunState.RUNNING).values_list("pk", flat=True).first()
        waiting = TrainingRun.objects.filter(state=RunState.QUEUED).exists()
    except DatabaseError:  # which has a line of its own
        running, waiting = None, False
    is_gone = silence is None or SWITCHED_OFF.total_seconds() < silence < math.inf
    says = "Not heard of; with TRAINER=0 there is none" if is_gone else _heard(silence)
    is_silent = is_gone or silence > liveness.stall_timeout()
    return Check(
        "trainer",
        "Trainer",
        is_well=running is not None or not is_silent or (is_gone and not waiting),
        says=says if running is None else f"Busy with training run {running}",
        what_to_do="Look at its log and start it: trainings wait for it.",
    )


def _heard(silence: float) -> str:
    if silence == math.inf:
        return "Not heard of since the clock was set back"
    return f"Heard of {max(0.0, silence):.0f} s ago"


def _queue() -> list[Check]:
    waiting = Submission.objects.filter(state=SubmissionState.PENDING)
    found = waiting.aggregate(count=Count("pk"), oldest=Min("created"))
    # A wait that begins in the future began before the clock was set back.
    late = found["oldest"] is not None and abs(timezone.now() - found["oldest"]) > MAX_WAIT
    return [
        Check(
            "queue",
            "Queue",
            is_well=not late,
            says=f"{found['count']} waiting, the oldest since" if found["count"] else "Nothing waits",
            what_to_do="Are prediction workers and Redis well? If so, more workers are needed: see docs/operations.md.",
            when=found["oldest"],
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
    active = latest.state in ACTIVE_RUN_STATES
    now = f"{presenters.state_of(latest)['line']}; asked for" if active else reason
    return [
        Check(
            "training",
            "Last training",
            is_well=latest.state != RunState.FAILED,
            says=f"Run {latest.pk}: {latest.get_state_display().lower()}. {now}".strip(),
            what_to_do="It is tried again by itself. Its log is on the Models page."
            if scheduling.is_retried(latest)
            else "Its log is on the Models page. Put right what it says, then retrain.",
            when=latest.finished or latest.created,
        )
    ]


def _next_training() -> list[Check]:
    coming = presenters.next_run()
    by_itself = coming.labels is not None or coming.when is not None
    ways = []
    if coming.labels is not None:
        ways.append(f"after {coming.labels} more settled label{'' if coming.labels == 1 else 's'}")
    if coming.when is not None:
        ways.append("if there is something new, from")
    return [
        Check(
            "next",
            "Next training",
            is_well=True,
            says=", or ".join(ways).capitalize() if ways else "Only when somebody asks for it",
            when=coming.when,
        ),
        Check(
            "mnist",
            "MNIST for training",
            is_well=not (coming.needs_mnist and by_itself),
            says="Not here yet" if coming.needs_mnist else "At hand",
            what_to_do="The first training fetches it. Without internet, set MNIST_PATH to mnist.npz.",
        ),
    ]


def _storage() -> list[Check]:
    try:
        found = writability.unwritable_paths()
    except DatabaseError:  # which has a line of its own
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [
        Check(
            "storage",
            "Storage",
            is_well=not found,
            says=f"May not be written: {found[0]}{more}" if found else "Can be written",
            what_to_do=f"Give {settings.DATA_DIR} to the account that runs the site (chown -R), on a disk that is not "
            "read-only. What people send is refused until then.",
        )
    ]


def _disk() -> list[Check]:
    free, pictures = disk_usage.free_bytes(), disk_usage.image_usage()
    about = "" if pictures.is_exact else "about "
    return [
        Check(
            "disk",
            "Disk",
            is_well=free >= MIN_FREE_BYTES,
            says=f"{free / 1e9:.1f} GB free; {about}{pictures.files} pictures take {pictures.bytes / MEGABYTE:.1f} MB",
            what_to_do=f"Make room in {settings.DATA_DIR}: without any, nothing can be stored.",
        )
    ]


def _version() -> list[Check]:
    says = f"Digits {settings.VERSION}, Django {django.__version__}, Python {platform.python_version()}"
    return [Check("version", "Version", is_well=True, says=says)]


def _short(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
