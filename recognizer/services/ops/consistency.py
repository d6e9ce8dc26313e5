"""Consistency check: verifies that submissions have their images, that checksums match and that models are intact.

Used by `manage.py sanity`, after restoring a backup and by the fault tests. Reads only, and may run while the site
runs: rows and files that are deleted during the check are not reported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Length

from ml.versions import SIDE
from recognizer.models import ModelFiles, ModelVersion, Submission, SubmissionState
from recognizer.services.images import orphaned_files
from recognizer.services.registry import versions

from . import writability

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Finding:
    """An inconsistency.

    Attributes:
        problem: Description of the inconsistency.
        location: The file, row or table that it is in.
        is_harmless: Whether it only wastes space until the next cleanup.
    """

    problem: str
    location: str
    is_harmless: bool = False

    def __str__(self) -> str:
        return f"{self.problem}: {self.location}"


@dataclass
class ConsistencyReport:
    """Result of a consistency check.

    Attributes:
        submissions: Number of submissions checked.
        pictures: Number of images checked.
        models: Number of model versions checked.
        findings: Inconsistencies, harmless ones included.
    """

    submissions: int = 0
    pictures: int = 0
    models: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_sane(self) -> bool:
        """True if all findings are harmless."""
        return all(finding.is_harmless for finding in self.findings)


def check() -> ConsistencyReport:
    """Run all checks. Reads every stored image and every model file once."""
    report = ConsistencyReport()
    for run_check in (
        _check_database,
        _check_writability,
        _check_images,
        _check_orphaned_files,
        _check_predictions,
        _check_models,
    ):
        report.findings += run_check(report)
    return report


def _check_database(_report: ConsistencyReport) -> Iterator[Finding]:
    """Run SQLite's integrity checks. PostgreSQL verifies its pages when it reads them."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        yield from (Finding("the database is damaged", line) for (line,) in cursor.fetchall() if line != "ok")
        cursor.execute("PRAGMA foreign_key_check")
        yield from (Finding("a row names one that is not there", f"{row[0]} {row[1]}") for row in cursor.fetchall())


def _check_writability(_report: ConsistencyReport) -> Iterator[Finding]:
    """Report paths that the current account, which should be the site's, may not write."""
    for path in writability.unwritable_paths():
        yield Finding("this account may not write", path)


def _check_images(report: ConsistencyReport) -> Iterator[Finding]:
    """Check that the image of every submission exists and has the SHA-256 in its name."""
    report.submissions = Submission.objects.count()
    names = Submission.objects.order_by("picture").values_list("picture", flat=True).distinct()
    for name in names.iterator():
        report.pictures += 1
        digest = image_sha256(name)
        if digest == PurePosixPath(name).stem:
            continue
        if Submission.objects.filter(picture=name).exists():  # otherwise it was deleted during the check
            yield Finding("a picture is missing" if digest is None else "a picture is damaged", name)


def _check_orphaned_files(_report: ConsistencyReport) -> Iterator[Finding]:
    """Report image files that no submission references."""
    for name in orphaned_files.find_orphans():
        yield Finding("a file that no submission names; the hourly sweep takes it", name, is_harmless=True)


def _check_predictions(_report: ConsistencyReport) -> Iterator[Finding]:
    """Check that submissions match their latest prediction, and have the reading that it chose."""
    predicted = Submission.objects.filter(state=SubmissionState.PREDICTED).annotate(size=Length("further_pixels"))
    same = Q(
        digit=F("latest_prediction__digit"),
        verdict=F("latest_prediction__verdict"),
        answered_by=F("latest_prediction__version__number"),
        latest_prediction__submission=F("pk"),
        size__gte=F("latest_prediction__reading") * SIDE**2,
    )
    for public_id in predicted.exclude(same).values_list("public_id", flat=True).iterator():
        yield Finding("a submission and its latest answer differ", public_id)


def _check_models(report: ConsistencyReport) -> Iterator[Finding]:
    """Check the SHA-256 of all model files, and that the live version has files."""
    for files in ModelFiles.objects.select_related("version").defer("version__history", "version__gate").iterator(1):
        report.models += 1
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


def image_sha256(name: str) -> str | None:
    """Return the SHA-256 of an image file; None if it is missing or unreadable."""
    try:
        with default_storage.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
