"""Fault test: sixteen clients use a complete site while its processes are killed, suspended, flushed and filled up.

Kinds and times of the faults depend on the seed only; the reactions of the processes are not deterministic.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dj_database_url
import httpx
from django.conf import settings
from django.db import connection
from django.db.models import Count

from digitsite.testing import postgresql
from digitsite.testing.site import wait_until
from digitsite.testing.supervised import Supervised
from tests.support.databases import default_database

from .breakages import Breaker, mount_small_disk, unmount
from .people import Person, Program, Promises, Reader, Reviewer, Uploader, Visitor, Watch, strokes

# Number of clients of each kind, sixteen in total.
PEOPLE = {Program: 5, Uploader: 3, Visitor: 3, Reviewer: 3, Reader: 2}
# Time after the last fault until the site must respond, and until all accepted submissions must be predicted.
BACK_SECONDS, SETTLE_SECONDS = 10.0, 60.0


@dataclass
class Report:
    """Results of a run. The test passes if `broken` is empty."""

    seed: int
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    requests: int = 0
    unanswered: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    accepted: int = 0
    labels: int = 0
    trainings: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    lost_labels: list[int] = field(default_factory=list)
    half_written: list[str] = field(default_factory=list)
    longest_outage: float = 0.0
    page_after: float = 0.0
    answer_after: float = 0.0
    left_out: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        problems = [f"lost: {item}" for item in self.lost] + [f"doubled: {item}" for item in self.doubled]
        problems += [f"lost label: {label}" for label in self.lost_labels] + self.half_written
        if self.answer_after > BACK_SECONDS:
            problems.append(f"the first answer came {self.answer_after:.1f} s after the last fault")
        return problems

    def __str__(self) -> str:
        statuses = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, {sum(PEOPLE.values())} people",
            f"requests        {self.requests} ({statuses}; {self.unanswered} without an answer)",
            f"faults          {len(self.faults)} ({'; '.join(self.faults)})",
            f"accepted        {self.accepted} pictures, {self.labels} labels",
            f"trainings       {', '.join(self.trainings) or 'none'}",
            f"lost            {len(self.lost)} pictures, {len(self.lost_labels)} labels",
            f"doubled         {len(self.doubled)}",
            f"half-written    {len(self.half_written)}",
            f"longest outage  {self.longest_outage:.1f} s without a page",
            f"after the last  a page in {self.page_after:.1f} s, an answered picture in {self.answer_after:.1f} s",
        ]
        return "\n".join([*lines, *(f"left out        {reason}" for reason in self.left_out), *self.broken])


def run(
    folder: Path,
    *,
    seed: int,
    seconds: float,
    freeze_seconds: float,
    with_postgresql: bool,
    own_server: bool = False,
    every_kind: bool = False,
    say: Callable[[str], None] = lambda line: None,
    **environment: str,
) -> Report:
    """Start a site, use it and inject faults, then compare accepted data with stored data.

    Args:
        folder: Data directory of the site.
        seed: Seed of clients and faults.
        seconds: Duration of load and faults; with `every_kind` the minimum duration of the load.
        freeze_seconds: How long Redis is suspended.
        with_postgresql: Use PostgreSQL instead of SQLite.
        own_server: Whether the PostgreSQL server may be restarted.
        every_kind: Inject each kind of fault once, in random order, instead of random faults.
        say: Called with each line of progress.
        environment: Settings of the site.
    """
    report = Report(seed)
    database = postgresql_database() if with_postgresql else ""
    settings_of_site = {
        "SECRET_KEY": settings.SECRET_KEY,
        "RECOVERY_INTERVAL_SECONDS": "2",
        "TRAINER": "0",
    } | environment
    if database:
        settings_of_site["DATABASE_URL"] = postgresql.url(database)
    else:
        report.left_out.append("no PostgreSQL: the site keeps its rows in SQLite, which no fault can restart")
    no_disk = mount_small_disk(folder / "media")
    report.left_out += [no_disk] if no_disk else []
    try:
        with Supervised(folder, **settings_of_site) as site:
            site.wait_until_it_answers()
            site.wait_until_the_start_is_over()
            breaker = Breaker(site, random.Random(seed), freeze_seconds, database, own_server)
            with _entered(folder, database):
                with_trainer = settings_of_site["TRAINER"] == "1"
                _use_and_break(site, breaker, report, seconds, every_kind, say, with_training=with_trainer)
    finally:
        unmount(folder / "media")
        if database:
            postgresql.drop(database)
    return report


def postgresql_database() -> str:
    name = f"faults_{random.SystemRandom().randrange(10**9)}"
    postgresql.create(name)
    return name


@contextmanager
def _entered(folder: Path, database: str) -> Iterator[None]:
    """Use the site's database and images in this process."""
    from django.test import override_settings

    where = dj_database_url.parse(postgresql.url(database)) | {"OPTIONS": {}} if database else None
    where = where or settings.DATABASES["default"] | {"NAME": str(folder / "db.sqlite3")}
    with default_database(where), override_settings(DATA_DIR=folder, MEDIA_ROOT=folder / "media"):
        yield


def _use_and_break(
    site: Supervised,
    breaker: Breaker,
    report: Report,
    seconds: float,
    every_kind: bool,
    say: Callable[[str], None],
    *,
    with_training: bool,
) -> None:
    promises, over, started = Promises(), threading.Event(), time.monotonic()
    people = _people(site, promises, report.seed, over)
    watch = Watch(site.url, over)
    for thread in (*people, watch):
        thread.start()
    if with_training:
        _ask_for_a_training()
    for name, fault in _faults(breaker, seconds, every_kind):
        say(f"{time.monotonic() - started:6.1f} s  {name}")
        report.faults.append(name)
        fault()
    mended = time.monotonic()
    report.page_after, report.answer_after = _until_it_answers(site, report, mended)
    say(f"{time.monotonic() - started:6.1f} s  mended; a picture was answered {report.answer_after:.1f} s later")
    while time.monotonic() < started + seconds:  # if the faults were quick, people go on for a while
        time.sleep(0.1)
    over.set()
    for thread in (*people, watch):
        thread.join(60)
        assert not thread.is_alive(), f"{thread.name} hangs"
    complaints = [person.complaint for person in people if person.complaint]
    assert not complaints, complaints
    report.seconds = time.monotonic() - started
    report.requests, report.unanswered = promises.requests, promises.unanswered
    report.statuses = dict(promises.statuses)
    report.accepted, report.labels = len(promises.submissions), len(promises.labels)
    report.longest_outage = watch.longest
    _audit(promises, report)


def _people(site: Supervised, promises: Promises, seed: int, over: threading.Event) -> list[Person]:
    people: list[Person] = []
    for kind, count in PEOPLE.items():
        for _ in range(count):
            number = seed * 100 + len(people)
            common = (lambda: site.url, promises, number, over)
            people.append(Reviewer(_session(f"reviewer{number}"), *common) if kind is Reviewer else kind(*common))
    return people


def _ask_for_a_training() -> None:
    """Request a training, so that the default worker trains when it is killed. The site's own beat starts it."""
    from recognizer.models import TrainingRun
    from recognizer.services import training

    training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE, recipe="site-from-scratch")


def _session(name: str) -> str:
    """Create a reviewer and return the session cookie."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import Group, User
    from django.contrib.sessions.backends.db import SessionStore

    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name="reviewer"))
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


def _faults(breaker: Breaker, seconds: float, every_kind: bool) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield faults with pauses in which the site may or may not recover."""
    kinds = breaker.kinds()
    if every_kind:
        names = list(kinds)
        breaker.chance.shuffle(names)
        for name in names:
            time.sleep(breaker.chance.uniform(0.3, 0.8))
            yield name, kinds[name]
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(breaker.chance.uniform(0.5, 6))
        name = breaker.chance.choice(list(kinds))
        yield name, kinds[name]


def _until_it_answers(site: Supervised, report: Report, since: float) -> tuple[float, float]:
    """Return the seconds until a page was served and until a drawing was predicted."""
    page, chance = 0.0, random.Random(report.seed)

    def answers() -> bool:
        nonlocal page
        with httpx.Client(base_url=site.url, trust_env=False, timeout=5) as client:
            try:
                if not page and client.get("/").status_code == 200:
                    page = time.monotonic() - since
                return client.post("/api/v1/submissions", json={"strokes": strokes(chance)}).status_code == 201
            except httpx.TransportError:
                return False

    wait_until(answers, seconds=60, event="an answer after the last fault")
    return page, time.monotonic() - since


def _audit(promises: Promises, report: Report) -> None:
    """Compare confirmed data with stored data."""
    from recognizer.models import Label, Prediction, Submission, SubmissionState, TrainingRun
    from recognizer.services.ops import consistency

    connection.close()  # the connection from before the faults
    wait_until(
        lambda: not Submission.objects.filter(state=SubmissionState.PENDING).exists(),
        seconds=SETTLE_SECONDS,
        event="the last answer",
    )
    answered = dict(
        Submission.objects.filter(state=SubmissionState.PREDICTED, latest_prediction__isnull=False).values_list(
            "public_id", "pk"
        )
    )
    report.lost = sorted(set(promises.submissions) - set(answered))
    copies = Submission.objects.values("digest").annotate(count=Count("pk")).filter(count__gt=1)
    report.doubled = [row["digest"] for row in copies]
    twice = Prediction.objects.values("submission", "version", "preprocessing_version").annotate(count=Count("pk"))
    report.doubled += [f"the prediction of {row['submission']}" for row in twice.filter(count__gt=1)]
    stored = {
        pk: (submission, value)
        for pk, submission, value in Label.objects.values_list("pk", "submission__public_id", "value")
    }
    report.lost_labels = [pk for pk, label in promises.labels.items() if stored.get(pk) != label]
    report.trainings = [run.get_state_display().lower() for run in TrainingRun.objects.order_by("pk")]
    report.half_written = [str(finding) for finding in consistency.check().findings]
