"""Tests the API against its OpenAPI document with schemathesis, with all of its checks, on a running site.

There must be no response of 500 or above, no undocumented status or media type, no accepted invalid data and no
rejected valid data, for single operations and for sequences that follow the links of the document.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoDbBlocker

from digitsite.testing.site import BASE_DIR, Site
from recognizer.models import Scope
from recognizer.services.identity import tokens
from recognizer.services.identity.actors import Actor

CONFIGURATION = BASE_DIR / "tests/integration/api/schemathesis.toml"
DOCUMENT = BASE_DIR / "docs/openapi.yaml"
IGNORED_APPS = ("admin", "drf_spectacular_sidecar", "rest_framework", "django_filters")
PER_MINUTE = ("READS_PER_MINUTE", "SUBMISSIONS_PER_MINUTE", "PREVIEWS_PER_MINUTE", "CHANGES_PER_MINUTE")


@pytest.fixture(scope="module")
def running_site(template_database: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """A running site with a token that has all scopes."""
    site = Site(template_database, PREDICTION_WAIT_SECONDS="1", **dict.fromkeys(PER_MINUTE, "0"))
    ignored = [word for name in IGNORED_APPS for word in ("--ignore", name)]
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0", *ignored]
    try:
        subprocess.run(command, cwd=BASE_DIR, env=site.environment, check=True)
        site.start_redis()
        site.start_worker()
        site.start_web()
        with django_db_blocker.unblock(), site.entered():
            superuser = Actor(user=User.objects.create_superuser("fuzz"))
            _, site.key = tokens.create(actor=superuser, name="everything", scopes=list(Scope))
        yield site
    finally:
        site.stop()


def run(site: Site, folder: Path, caller: str, *options: str) -> int:
    """Run schemathesis and return the number of generated cases. Fails with its report if any case failed."""
    headers = ["--header", f"Authorization: Bearer {site.key}"] if caller == "a token" else []
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run", str(DOCUMENT)]
    command += [
        "--url",
        f"http://127.0.0.1:{site.port}",
        "--checks",
        "all",
        "--continue-on-failure",
        *headers,
        *options,
    ]
    environment = os.environ | {"PYTHONPATH": str(BASE_DIR)}
    process = subprocess.run(
        [*command, *headers, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return int(re.search(r"(\d+) generated", process.stdout)[1])


@pytest.mark.parametrize("caller", [pytest.param("anonymous", marks=pytest.mark.acceptance), "a token"])
def test_api_conforms_to_its_openapi_document(caller: str, running_site: Site, tmp_path: Path) -> None:
    options = ["--phases", "examples,fuzzing", "--max-examples", "3", "--seed", "1", "--no-shrink"]
    assert run(running_site, tmp_path, caller, *options) >= 120


def test_api_conforms_to_the_links_of_its_openapi_document(running_site: Site, tmp_path: Path) -> None:
    options = ["--phases", "stateful", "--max-examples", "20", "--seed", "1", "--no-shrink"]
    assert run(running_site, tmp_path, "a token", *options) >= 60


@pytest.mark.acceptance
@pytest.mark.parametrize("caller", ["anonymous", "a token"])
def test_api_conforms_to_its_openapi_document_in_thousands_of_cases(
    caller: str, running_site: Site, tmp_path: Path
) -> None:
    assert run(running_site, tmp_path, caller, "--max-examples", "25") >= 2000
