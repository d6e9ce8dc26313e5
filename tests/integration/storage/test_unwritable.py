"""Folders and files that the site's account may not write."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from digitsite.data_directory import data_dir
from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import SETTINGS
from recognizer.models import Submission
from recognizer.services.ops import consistency, health, writability
from tests.image_samples import digit, png

ADDRESS = "/api/v1/submissions"
Account = Callable[[], AbstractContextManager[None]]
pytestmark = pytest.mark.django_db


def drawing(number: int) -> str:
    """Return a unique drawing, whose image may be in any of 256 folders."""
    return json.dumps({"strokes": [[[60, 200, 120], [60, 60, 150 + number]]]})


def test_unwritable_storage_rejects_submissions_with_503(
    anonymous_client: Client, media_left_by_root: Path, ordinary_account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    with ordinary_account():
        answers = [anonymous_client.post(ADDRESS, drawing(n), content_type="application/json") for n in range(40)]
    rejected = [answer for answer in answers if answer.status_code != 202]
    assert 0 < len(rejected) < 40
    assert {(answer.status_code, answer.json()["code"], answer["Retry-After"]) for answer in rejected} == {
        (503, "storage_unavailable", "60")
    }
    assert "storage_unavailable: [Errno 13] Permission denied: '" in caplog.text
    assert "Traceback" not in caplog.text
    assert Submission.objects.count() == 40 - len(rejected)
    files = [file for file in media_left_by_root.rglob("*") if file.is_file()]
    assert len(files) == Submission.objects.values("picture").distinct().count()


def test_checks_name_unwritable_paths(
    anonymous_client: Client, media_left_by_root: Path, ordinary_account: Account
) -> None:
    folder = str(media_left_by_root / "pictures" / "00")
    assert anonymous_client.get("/readyz").json()["storage"] is (os.geteuid() == 0)
    with ordinary_account():
        assert folder in writability.unwritable_paths()
        ready = anonymous_client.get("/readyz")
        assert (ready.status_code, ready.json()["storage"]) == (503, False)
        check = next(check for check in health.run_checks() if check.name == "storage")
        assert (check.is_ok, "May not be written: " in check.text) == (False, True)
        problems = [
            finding.location
            for finding in consistency.check().findings
            if finding.problem == "this account may not write"
        ]
        assert folder in problems


def test_pages_report_unwritable_storage(
    anonymous_client: Client,
    media_left_by_root: Path,
    ordinary_account: Account,
    settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for folder in (media_left_by_root / "pictures").iterdir():
        folder.chmod(0o555)
        if os.geteuid() == 0:
            os.chown(folder, 0, 0)
    with ordinary_account():
        file = SimpleUploadedFile("one.png", png(digit()), "image/png")
        answer = anonymous_client.post("/upload/", {"images": [file], "may_train": "on"})
        assert answer.status_code in (422, 503)
        assert "nothing was stored" in answer.content.decode()
        settings.DATA_DIR = media_left_by_root / "pictures" / "00"
        answer = anonymous_client.post("/account/data/download/")
        assert (answer.status_code, answer["Retry-After"]) == (503, "60")
        assert "Nothing can be saved here now" in answer.content.decode()
    assert "storage_unavailable: [Errno 13] Permission denied" in caplog.text
    assert not Submission.objects.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_commands_reject_root_on_site_of_another_account(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    for command in (["manage.py", "prepare"], ["-m", "digitsite.supervisor"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=BASE_DIR, env=environment | {"DATA_DIR": str(folder)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith(f"The data folder {folder} belongs to the account #12345, which could not write")
        assert len(done.stderr.splitlines()) == 1
        assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owner_of_database_counts_if_root_owns_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert data_dir() == tmp_path
    (tmp_path / "db.sqlite3").touch()
    os.chown(tmp_path / "db.sqlite3", 12345, 12345)
    with pytest.raises(ImproperlyConfigured, match="#12345"):
        data_dir()
