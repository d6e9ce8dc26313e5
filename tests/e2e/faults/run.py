"""A fault run: sixteen people use a whole site while everything in it is killed, frozen, flushed and filled up.

Which fault comes when follows from the seed; what
the processes make of it does not.
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

# Sixteen: who draws, uploads, looks at their own, reviews, reads.
PEOPLE = {Program: 5, Uploader: 3, Visitor: 3, Reviewer: 3, Reader: 2}
# Within this the site must answer after the last fault, and everything accepted must have its answer.
BACK_SECONDS, SETTLE_SECONDS = 10.0, 60.0


@dataclass
class Report:
    """What happened. The promise is kept when `broken` is empty."""

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
        found = [f"lost: {one}" for one in self.lost] + [f"doubled: {one}" for one in self.doubled]
        found += [f"lost label: {one}" for one in self.lost_labels] + self.half_written
        if self.answer_after > BACK_SECONDS:
            found.append(f"the first answer came {self.answer_after:.1f} s after the last fault")
        return found

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
        return "\n".join([*lines, *(f"left out        {one}" for one in self.left_out), *self.broken])


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
    """Start a site in `folder`, use and break it for so many seconds, mend it and look what became of the promises.

    Args:
        every_kind: instead of some by chance, each kind of fault once, in an order by chance; then `seconds` is only
            how long there is load at least.
    """
    report = Report(seed)
    database = postgresql_database() if with_postgresql else ""
    told = {"SECRET_KEY": settings.SECRET_KEY, "RECOVERY_INTERVAL_SECONDS": "2", "TRAINER": "0"} | environment
    if database:
        told["DATABASE_URL"] = postgresql.url(database)
    else:
        report.left_out.append("no PostgreSQL: the site keeps its rows in SQLite, which no fault can restart")
    no_disk = mount_small_disk(folder / "media")
    report.left_out += [no_disk] if no_disk else []
    try:
        with Supervised(folder, **told) as site:
            site.wait_until_it_answers()
            site.wait_until_the_start_is_over()
            breaker = Breaker(site, random.Random(seed), freeze_seconds, database, own_server)
            with _entered(folder, database):
                with_trainer = told["TRAINER"] == "1"
                _use_and_break(site, breaker, report, seconds, every_kind, say, told_to_train=with_trainer)
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
    """This process looks into the site's database and pictures."""
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
    told_to_train: bool,
) -> None:
    promises, over, started = Promises(), threading.Event(), time.monotonic()
    people = _people(site, promises, report.seed, over)
    watch = Watch(site.url, over)
    for one in (*people, watch):
        one.start()
    if told_to_train:
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
    for one in (*people, watch):
        one.join(60)
        assert not one.is_alive(), f"{one.name} hangs"
    complaints = [one.complaint for one in people if one.complaint]
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
    """So that the trainer is at something when it is killed. The site's own beat calls it."""
    from recognizer.models import TrainingRun
    from recognizer.services import training

    training.request_run(trigger=TrainingRun.Trigger.SCHEDULE, recipe="site-from-scratch")


def _session(name: str) -> str:
    """The cookie of a reviewer who has just signed in."""
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
    """One after another, with time in between in which the site may or may not have come back."""
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
    """Seconds until a page came and until a drawing was answered at once."""
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
    """Compare what was promised with what is stored."""
    from recognizer.models import Label, Prediction, Submission, SubmissionState, TrainingRun
    from recognizer.services.ops import consistency

    connection.close()  # the one of before the faults
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
    report.doubled = [one["digest"] for one in copies]
    twice = Prediction.objects.values("submission", "version", "preprocessing_version").annotate(count=Count("pk"))
    report.doubled += [f"the answer to {one['submission']}" for one in twice.filter(count__gt=1)]
    stored = {
        pk: (submission, value)
        for pk, submission, value in Label.objects.values_list("pk", "submission__public_id", "value")
    }
    report.lost_labels = [pk for pk, said in promises.labels.items() if stored.get(pk) != said]
    report.trainings = [run.get_state_display().lower() for run in TrainingRun.objects.order_by("pk")]
    report.half_written = [str(finding) for finding in consistency.check().findings]
