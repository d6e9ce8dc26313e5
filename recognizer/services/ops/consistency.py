"""Is everything that is stored there, whole, and in one piece? Rows, pictures and model files against each other.

For `manage.py sanity`, for a restored backup and for the fault run. Reads only, and may run while the site does: what
is deleted in the very moment counts as deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import F, Q

from recognizer.models import ModelFiles, ModelVersion, Submission, SubmissionState
from recognizer.services.images import orphaned_files
from recognizer.services.registry import versions

from . import writability

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. `is_harmless`: it costs space and goes by itself."""

    what: str
    where: str
    is_harmless: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.where}"


@dataclass
class ConsistencyReport:
    """What was looked at and what was found."""

    submissions: int = 0
    pictures: int = 0
    models: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sane(self) -> bool:
        return all(finding.is_harmless for finding in self.findings)


def check() -> ConsistencyReport:
    """Look at everything: reads every kept picture and every model file once."""
    found = ConsistencyReport()
    for look in (_database, _storage, _pictures, _left_overs, _answers, _models):
        found.findings += look(found)
    return found


def _database(_found: ConsistencyReport) -> Iterator[Finding]:
    """What SQLite can say of its own file; PostgreSQL checks its pages when it reads them."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        yield from (Finding("the database is damaged", line) for (line,) in cursor.fetchall() if line != "ok")
        cursor.execute("PRAGMA foreign_key_check")
        yield from (Finding("a row names one that is not there", f"{row[0]} {row[1]}") for row in cursor.fetchall())


def _storage(_found: ConsistencyReport) -> Iterator[Finding]:
    """What the account that runs this may not write; the site's own account should be the one that does."""
    for path in writability.unwritable_paths():
        yield Finding("this account may not write", path)


def _pictures(found: ConsistencyReport) -> Iterator[Finding]:
    """Every picture that a submission names is there and is what its name says."""
    found.submissions = Submission.objects.count()
    names = Submission.objects.order_by("picture").values_list("picture", flat=True).distinct()
    for name in names.iterator():
        found.pictures += 1
        digest = _sha256(name)
        if digest == PurePosixPath(name).stem:
            continue
        if Submission.objects.filter(picture=name).exists():  # else it was deleted meanwhile
            yield Finding("a picture is missing" if digest is None else "a picture is damaged", name)


def _left_overs(_found: ConsistencyReport) -> Iterator[Finding]:
    for name in orphaned_files.find_orphans():
        yield Finding("a file that no submission names; the hourly sweep takes it", name, is_harmless=True)


def _answers(_found: ConsistencyReport) -> Iterator[Finding]:
    """What lists copy from the latest answer says the same as the answer."""
    answered = Submission.objects.filter(state=SubmissionState.PREDICTED)
    same = Q(
        digit=F("latest_prediction__digit"),
        verdict=F("latest_prediction__verdict"),
        answered_by=F("latest_prediction__version__number"),
        latest_prediction__submission=F("pk"),
    )
    for public_id in answered.exclude(same).values_list("public_id", flat=True).iterator():
        yield Finding("a submission and its latest answer differ", public_id)


def _models(found: ConsistencyReport) -> Iterator[Finding]:
    """The files of every version that has any are what their sha256 says; the live version has them."""
    for files in ModelFiles.objects.select_related("version").defer("version__history", "version__gate").iterator(1):
        found.models += 1
        version = files.version
        for data, digest in ((files.keras_file, version.keras_sha256), (files.bundle, version.bundle_sha256)):
            if hashlib.sha256(bytes(data)).hexdigest() != digest:
                yield Finding("the file of a model is damaged", str(version))
    try:
        live = versions.live_version()
    except versions.NoLiveModelError:
        yield Finding("no model is live", "run `manage.py migrate`")
        return
    if not ModelVersion.objects.filter(pk=live.pk, files__isnull=False).exists():
        yield Finding("the live model has no files", str(live))


def _sha256(name: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with default_storage.open(name) as file:
            for chunk in file.chunks(CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest()
