"""The Status page and `manage.py status`."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from digitsite import __version__
from digitsite.testing.site import Site, wait_until
from recognizer.models import Deployment, ModelFiles, RunState, Submission, TrainingRun
from recognizer.services.inference import streams
from recognizer.services.ops import disk_usage, health, liveness
from tests.factories import make_prediction, make_submission
from tests.support.people import client_of

pytestmark = pytest.mark.django_db


def check_of(name: str) -> health.Result:
    return next(check for check in health.run_checks() if check.name == name)


def test_status_page_requires_operator(operator, reviewer, visitor):
    page = client_of(operator).get(reverse("status"))
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert client_of(reviewer).get(reverse("status")).status_code == 403
    assert client_of(visitor).get(reverse("status")).status_code == 403
    assert Client().get(reverse("status")).status_code == 403


def test_advice_is_shown_only_for_failed_checks(operator, tmp_path, settings):
    settings.HANDOFF_URL = f"unix://{tmp_path}/nobody.sock"
    text = client_of(operator).get(reverse("status")).content.decode()
    assert "Start it, or correct REDIS_URL" in text
    assert "Promote or roll back to another version" not in text
    assert "1 part needs your attention" in text


def test_site_with_unapplied_migrations_is_not_ready(client):
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder(connection).record_unapplied("recognizer", "0001_initial")
    check = check_of("migrations")
    assert not check.is_ok
    assert check.text == "1 not applied: recognizer.0001_initial"
    assert not health.readiness()[0]


@pytest.mark.both_databases
def test_database_check_has_name_and_size(database):
    assert check_of("migrations").is_ok
    assert check_of("database").text.startswith({"sqlite": "SQLite, ", "postgresql": "PostgreSQL, "}[database])
    assert disk_usage.database_bytes() > 1_000_000


def test_version_is_on_page_and_in_changelog(operator, settings):
    assert f"Digits {__version__}, Django 5." in client_of(operator).get(reverse("status")).content.decode()
    changelog = (settings.BASE_DIR / "CHANGELOG.md").read_text()
    is_development = __version__.endswith(".dev0")
    assert (f"`{__version__}`" if is_development else f"## [{__version__}] - ") in changelog


def test_long_wait_fails_queue_check():
    make_submission()
    assert check_of("queue").is_ok
    Submission.objects.update(created=timezone.now() - timedelta(minutes=2))
    check = check_of("queue")
    assert not check.is_ok
    assert check.text == "1 waiting, the oldest since"
    assert timezone.now() - check.when > timedelta(minutes=1)


def test_old_submission_that_is_read_again_is_not_a_long_wait():
    make_prediction(make_submission())
    Submission.objects.update(state="pending", latest_prediction=None, created=timezone.now() - timedelta(days=2))
    check = check_of("queue")
    assert check.is_ok
    assert check.text == "1 waiting"


def test_damaged_live_model_fails_model_check():
    assert check_of("model").is_ok
    ModelFiles.objects.update(bundle=b"not a bundle")
    check = check_of("model_files")
    assert check.severity is health.Severity.CRITICAL
    assert "sha256 differs" in check.text
    Deployment.objects.all().delete()
    assert "manage.py migrate" in check_of("model").advice


def test_failed_training_is_shown_with_reason():
    assert check_of("training").text == "None yet"
    TrainingRun.objects.create(
        trigger="person", state=RunState.FAILED, finished=timezone.now(), reasons=["The trainer was killed."]
    )
    check = check_of("training")
    assert not check.is_ok
    assert "The trainer was killed." in check.text


def test_missing_mnist_fails_check(monkeypatch, settings):
    monkeypatch.setattr("ml.data.mnist.is_available", lambda: False)
    assert not check_of("mnist").is_ok
    settings.RETRAIN_SCHEDULE, settings.RETRAIN_AFTER_LABELS = 0.0, 0
    assert check_of("mnist").is_ok


def test_full_disk_fails_check(monkeypatch):
    assert check_of("disk").is_ok
    monkeypatch.setattr(disk_usage, "free_bytes", lambda: 12_000_000)
    assert not check_of("disk").is_ok


def test_checks_that_need_database_are_left_out_without_it(monkeypatch):
    from django.db import OperationalError

    def fail() -> int:
        raise OperationalError("connection refused")

    monkeypatch.setattr(disk_usage, "database_bytes", fail)
    names = [check.name for check in health.run_checks()]
    assert names[0] == "database"
    assert "queue" not in names
    assert "DATABASE_URL" in check_of("database").advice


def test_command_has_same_checks_and_exit_status():
    out = StringIO()
    with pytest.raises(SystemExit) as exit_info:  # there is no Redis in this test
        call_command("status", stdout=out)
    assert exit_info.value.code == 1
    assert "BAD Redis: Cannot be reached" in out.getvalue()
    assert "ok  Migrations: All applied" in out.getvalue()
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("status", "--json", stdout=out)
    report = json.loads(out.getvalue())
    assert report["is_ok"] is report["is_well"] is False
    (redis,) = (check for check in report["checks"] if check["name"] == "redis")
    assert (redis["severity"], redis["text"], redis["is_well"]) == ("critical", "Cannot be reached", False)
    assert (redis["says"], redis["what_to_do"]) == (redis["text"], redis["advice"])  # the names of release 0.9.0
    assert {check["name"] for check in report["checks"]} >= {"database", "redis", "model", "disk"}


def test_image_usage_is_exact_for_few_and_estimated_for_many(media, monkeypatch):
    for number in range(256):
        folder = media / "pictures" / f"{number:02x}"
        folder.mkdir(parents=True)
        for name in range(4):
            (folder / f"{name}.png").write_bytes(bytes(100))
    assert disk_usage.image_usage() == disk_usage.ImageUsage(1024, 102_400, is_exact=True)
    monkeypatch.setattr(disk_usage, "MAX_FILES_SCANNED", 100)
    assert disk_usage.image_usage() == disk_usage.ImageUsage(1024, 102_400, is_exact=False)


def test_status_page_has_fixed_query_count(operator):
    operating = client_of(operator)
    operating.get(reverse("status"))
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            operating.get(reverse("status"))
        counts.append(len(queries))
        for _ in range(10):
            make_submission()
    assert counts[0] == counts[1] <= 20


def test_all_checks_pass_on_running_site(site: Site):
    """With real processes, unlike the other tests of this module."""
    site.start_redis()
    site.start_worker()
    with site.entered():
        assert check_of("redis").is_ok
        wait_until(lambda: check_of("worker").is_ok)
        assert "Valkey" in check_of("redis").text
        (name,) = streams.heartbeats(site.redis())
        assert name in check_of("worker").text
        site.parts[-1].kill()
        assert check_of("default").text == "Not heard of yet"
        liveness.record_probe(liveness.DEFAULT)
        liveness.record_probe(liveness.TRAIN)
        assert check_of("default").text == "Heard of 0 s ago"
        assert check_of("trainer").is_ok
        long_ago = int(site.redis().time()[0]) - 3600
        site.redis().hset(liveness.PROBES_KEY, mapping={liveness.DEFAULT: long_ago, liveness.TRAIN: long_ago})
        assert "keeps the time" in check_of("default").advice
        assert "trainings wait for it" in check_of("trainer").advice
        run = TrainingRun.objects.create(trigger="person", state=RunState.RUNNING)
        assert check_of("trainer").text == f"Busy with training run {run.pk}"
        silent = wait_until(lambda: None if (check := check_of("worker")).is_ok else check, event="its silence")
        assert "start it" in silent.advice
