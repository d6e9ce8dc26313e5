"""A full or read-only database, and a Redis without memory."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client

from digitsite.testing.site import Site
from recognizer.models import Submission
from recognizer.services.ops import health
from tests.image_samples import SEVEN

ADDRESS = "/api/v1/submissions"
BODY = {"data": json.dumps({"strokes": SEVEN}), "content_type": "application/json"}


@pytest.fixture
def pragma() -> Iterator[Callable[[str], None]]:
    """Set a limit of SQLite that raises the same errors as a full or read-only disk."""

    def execute(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA {statement}")

    yield execute
    execute("max_page_count = 1073741823")
    execute("query_only = 0")


@pytest.mark.django_db(transaction=True)
def test_full_database_returns_507_and_stores_nothing(
    anonymous_client: Client, pragma: Callable[[str], None], media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pragma("max_page_count = 1")  # SQLite raises this to the current number
    answers = [anonymous_client.post(ADDRESS, **BODY) for _ in range(60)]
    rejected = [answer for answer in answers if answer.status_code != 202]
    assert rejected
    assert {(answer.status_code, answer.json()["code"], answer["Retry-After"]) for answer in rejected} == {
        (507, "storage_full", "60")
    }
    assert "storage_full: database or disk is full" in caplog.text
    assert Submission.objects.count() == 60 - len(rejected)
    assert all(default_storage.exists(name) for name in Submission.objects.values_list("picture", flat=True))


@pytest.mark.django_db(transaction=True)
def test_read_only_database_returns_503(
    anonymous_client: Client, pragma: Callable[[str], None], media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pragma("query_only = 1")
    answer = anonymous_client.post(ADDRESS, **BODY)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    page = anonymous_client.post("/account/login/", {"username": "olga", "password": "wrong"})
    assert (page.status_code, page["Retry-After"]) == (503, "60")
    assert "Nothing can be saved here now" in page.content.decode()
    assert "storage_unavailable: attempt to write a readonly database" in caplog.text
    assert "Traceback" not in caplog.text
    assert anonymous_client.get("/").status_code == 200


def test_full_redis_does_not_reject_submissions(site_context: Site) -> None:
    site_context.redis().config_set("maxmemory", "1")
    answer = Client(HTTP_HOST="localhost").post(ADDRESS, **BODY)
    assert answer.status_code == 202
    assert Submission.objects.count() == 1
    check = next(check for check in health.run_checks() if check.name == "redis")
    assert (check.is_ok, "its memory is full" in check.text) == (False, True)
