"""Backups of running sites, restored into other sites."""

import contextlib
import hashlib
import io
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from digitsite.testing.site import BASE_DIR, Site, wait_until
from recognizer.models import Deployment, Label, LabelReason, Prediction, Source, Submission, SubmissionState
from recognizer.services.identity.actors import Actor
from recognizer.services.images import storage
from recognizer.services.review import labels
from recognizer.services.submissions import service

ANN, BOB = Actor(visitor="a" * 32), Actor(visitor="b" * 32)


def add_drawing(number: int, actor: Actor = ANN) -> Submission:
    strokes = [[[60, 200, 120 + number % 40], [60, 60 + number / 10, 220]]]
    submission = service.create_from_strokes(actor=actor, strokes=strokes, source=Source.CANVAS)
    labels.record_label(actor=actor, submission=submission, value="7", reason=LabelReason.OWN_PAGE)
    return submission


def manage(site: Site, *arguments: str) -> subprocess.CompletedProcess:
    """Run `manage.py` in a separate process."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=BASE_DIR, env=site.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def run_command(site: Site, *arguments: str) -> str:
    """Run `manage.py` in this process; it must succeed."""
    output = io.StringIO()
    with site.entered():
        call_command(*arguments, stdout=output)
    return output.getvalue()


def run_rejected_command(site: Site, *arguments: str) -> str:
    with pytest.raises(CommandError) as refusal:
        run_command(site, *arguments)
    return str(refusal.value)


def site_content() -> dict[str, object]:
    """Return the content of a site without volatile columns."""
    return {
        "submissions": list(Submission.objects.order_by("pk").values("pk", "public_id", "digest", "state", "truth")),
        "predictions": Prediction.objects.count(),
        "labels": list(Label.objects.order_by("pk").values_list("submission__public_id", "value")),
        "live": Deployment.objects.values_list("to_version__number", "to_version__bundle_sha256").first(),
        "pictures": {row.picture: hashlib.sha256(storage.read(row)).hexdigest() for row in Submission.objects.all()},
    }


@contextmanager
def run_load(start: int) -> Iterator[list[int]]:
    """Add and delete submissions in threads while the block runs; yields the ids of the added ones."""
    over, drawn = threading.Event(), []

    def work(number: int, actor: Actor) -> None:
        from django.db import connection

        while not over.is_set():
            number += 2
            drawn.append(add_drawing(number, actor).pk)
            if len(drawn) % 5 == 0:
                oldest = Submission.objects.order_by("pk").first()
                service.delete(actor=Actor(is_system=True), submission=oldest)
        connection.close()

    people = [threading.Thread(target=work, args=(start + row, actor)) for row, actor in enumerate((ANN, BOB))]
    for row in people:
        row.start()
    try:
        wait_until(lambda: len(drawn) > 5)
        yield drawn
    finally:
        over.set()
        for row in people:
            row.join()


@pytest.mark.both_databases(short="sqlite")
def test_backup_under_load_is_restored_consistently(make_site: Callable[..., Site], tmp_path: Path) -> None:
    old, new = make_site(), make_site()
    file = tmp_path / "backup.tar"
    old.start_redis()
    old.start_worker()
    with old.entered():
        for number in range(30):
            add_drawing(number)
        wait_until(lambda: not Submission.objects.filter(state=SubmissionState.PENDING).exists())
        before = {row["pk"] for row in site_content()["submissions"]}
        with run_load(1000) as drawn:
            count = len(drawn)
            done = manage(old, "backup", str(file))
            assert done.returncode == 0, done.stderr
            assert len(drawn) > count
        after = {row["pk"] for row in site_content()["submissions"]}
    assert file.stat().st_mode & 0o777 == 0o600

    assert "is complete" in run_command(new, "restore", str(file), "--check")
    assert "was verified and restored" in run_command(new, "restore", str(file))
    assert run_command(new, "sanity").startswith("checked ")
    with new.entered():
        restored = site_content()
        assert restored["live"][0] == 1
        stored = {row["pk"] for row in restored["submissions"]}
        assert before & after <= stored  # submissions that existed all the time
        # Each was labelled by its author; two labels may have been missing at the time of the backup.
        assert len(stored) - 2 <= len(restored["labels"]) <= len(stored)
        assert all(Path(name).stem == digest for name, digest in restored["pictures"].items())
        # Sequences continue: new rows get unused ids.
        assert add_drawing(5000).pk > max(stored)


@pytest.mark.both_databases(short="sqlite")
def test_backup_of_idle_site_is_restored_identically(make_site: Callable[..., Site], tmp_path: Path) -> None:
    old, new = make_site(), make_site()
    file = tmp_path / "backup.tar"
    with old.entered():
        for number in range(4):
            add_drawing(number)
        here = site_content()
    run_command(old, "backup", str(file))
    run_command(new, "restore", str(file))
    with new.entered():
        assert site_content() == here
        add_drawing(99)
    # The site is no longer empty.
    assert "--replace" in run_rejected_command(new, "restore", str(file))
    with new.entered():
        assert Submission.objects.count() == 5
    run_command(new, "restore", str(file), "--replace")
    with new.entered():
        assert site_content() == here
    assert "exists already" in run_rejected_command(old, "backup", str(file))


def test_damaged_image_is_restored(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site, file = make_site(), tmp_path / "backup.tar"
    with site.entered():
        add_drawing(1)
        here = site_content()
    run_command(site, "backup", str(file))
    [picture] = (site.folder / "media").rglob("*.png")
    picture.write_bytes(picture.read_bytes()[:50])
    run_command(site, "restore", str(file), "--replace")
    with site.entered():
        assert site_content() == here


def test_damaged_backup_changes_nothing(make_site: Callable[..., Site], tmp_path: Path) -> None:
    old, new = make_site(), make_site()
    file = tmp_path / "backup.tar"
    with old.entered():
        add_drawing(1)
    run_command(old, "backup", str(file))
    whole = file.read_bytes()
    with tarfile.open(file) as tar:
        middles = {row.name: row.offset_data + row.size // 2 for row in tar}
    victims = [name for name in middles if name.startswith(("media/", "database/"))]
    damages = {name: (middles[name], b"\xff\x00\xff") for name in (victims[0], victims[-1])}
    for place, bytes_ in damages.values():
        file.write_bytes(whole[:place] + bytes_ + whole[place + len(bytes_) :])
        assert "is damaged" in run_rejected_command(new, "restore", str(file))
    for length in (middles["manifest.json"], middles[victims[-1]], 100, 0):
        file.write_bytes(whole[:length])
        assert "cut off" in run_rejected_command(new, "restore", str(file))
    with new.entered():
        assert not Submission.objects.exists()
    assert not (new.folder / "media").exists()


def test_running_site_is_not_restored(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site()
    file = tmp_path / "backup.tar"
    run_command(site, "backup", str(file))
    site.start_redis()
    site.start_worker()
    assert "A prediction worker of this site is running" in run_rejected_command(site, "restore", str(file))


def test_killed_restore_leaves_complete_database(
    make_site: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, file = make_site(), tmp_path / "backup.tar"
    with site.entered():
        add_drawing(1)
    run_command(site, "backup", str(file))
    with site.entered():
        add_drawing(2)
    database, moments, replace = site.folder / "db.sqlite3", [], Path.replace

    def watched(path: Path, target: Path) -> Path:
        for moment in ("before", "after"):
            with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as other:
                rows = other.execute("SELECT count(*) FROM recognizer_submission").fetchone()[0]
            moments.append((path.name, moment, rows))
            if moment == "before":
                replace(path, target)
        return Path(target)

    monkeypatch.setattr(Path, "replace", watched)
    run_command(site, "restore", str(file), "--replace")
    exchange = [moment for moment in moments if moment[0] == "db.sqlite3.restoring"]
    assert exchange == [("db.sqlite3.restoring", "before", 2), ("db.sqlite3.restoring", "after", 1)]
