"""Runs the examples of the API page unmodified on a running site.

Each example gets a token with exactly the scopes that the page names.
"""

import html
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from digitsite.testing.site import Site, wait_until
from recognizer.api.openapi.examples import EXAMPLES, LANGUAGES
from recognizer.models import TrainingRun
from recognizer.services import training
from recognizer.services.identity import tokens
from recognizer.services.identity.actors import Actor
from tests.image_samples import SEVEN, digit, png

FIGURE = re.compile(r'data-language="(\w+)".*?<pre[^>]*><code>(.*?)</code></pre>', re.DOTALL)
DETAILS = re.compile(r'<details id="example-(\w+)".*?</details>', re.DOTALL)

# Patterns of the output of each example: curl, Python.
OUTPUT_PATTERNS = {
    "picture": (r'"state":"predicted"', r"\d (sure|unsure)"),
    "file": (r'"may_train":false', r"\d"),
    "drawing": (r'"digit":7', r"^7$"),
    "preview": (r'"verdict":', r"^7 \["),
    "batch": (r'^\[\{"status":20.*\{"status":20.*\{"status":20', r"(201 .* predicted\n){2}"),
    "wait": (r'"state":"predicted"', r"predicted \{"),
    "manage": (r'"value":"1"', r"^1 204$"),
    "crop": (r'"crop":\[2,2,26,26\].*"prediction":{', r"^\[2, 2, 26, 26\] predicted$"),
    "retry": (r'"id":"', r"^[\w-]{16}$"),
    "token": (r'"user":"olga"', r"olga \['read'\] \d+"),
    "history": (r'(?s)"results":.*"results":', r"(?m)(^[\w-]{16} 1 7 .*\n){3}"),
    "label": (r'"kind":"suggestion"', r"suggestion"),
    "delete": (r"^$", r"204"),
    "review": (r'"kind":"review"', r"[\w-]{16} Newest"),
    "export": (r"^$", r"\(\d+, 28, 28\) \[.*7.*\] [0-9a-f]{64}"),
    "retrain": (r'"state":"cancelled"', r"(?s)live: 1.*cancelled None"),
}


@pytest.fixture(scope="module")
def site(template_database: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """A running site with an operator, olga, who has sent four drawings, one of them settled."""
    site = Site(template_database)
    try:
        site.start_redis()
        site.start_worker()
        site.start_web()
        with django_db_blocker.unblock(), site.entered():
            site.olga = Actor(user=User.objects.create_superuser("olga"))
            _, key = tokens.create(actor=site.olga, name="to begin with", scopes=["submit"])
            with site.client(headers={"Authorization": f"Bearer {key}"}) as client:
                for _ in range(4):
                    client.post("/api/v1/submissions", json={"strokes": SEVEN}).raise_for_status()
            yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def page(site: Site) -> dict[tuple[str, str], str]:
    """The code on the page by example and language."""
    # The code contains the base URL of the request.
    text = Client(HTTP_HOST=f"127.0.0.1:{site.port}").get(reverse("api-docs")).content.decode()
    return {
        (name.group(1), language): html.unescape(code)
        for name in DETAILS.finditer(text)
        for language, code in FIGURE.findall(name.group())
    }


def test_every_example_has_both_languages(page: dict) -> None:
    assert set(page) == {(item.name, language) for item in EXAMPLES for language in LANGUAGES}
    assert set(OUTPUT_PATTERNS) == {item.name for item in EXAMPLES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_runs_unmodified(example, language: str, page: dict, site: Site, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_bytes(png(digit()))
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if example.scopes:
        name = f"{example.name} in {language}"
        _, environment["DIGITS_TOKEN"] = tokens.create(actor=site.olga, name=name, scopes=example.scopes)
    command = ["bash", "-c"] if language == "curl" else [sys.executable, "-c"]
    canceller = threading.Thread(target=cancel_the_training)
    if example.name == "retrain":  # the site has no trainer
        canceller.start()
    process = subprocess.run(
        [*command, page[example.name, language]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if canceller.ident:
        canceller.join()
    assert process.returncode == 0, process.stderr
    pattern = OUTPUT_PATTERNS[example.name][list(LANGUAGES).index(language)]
    assert re.search(pattern, process.stdout), process.stdout


def cancel_the_training() -> None:
    run = wait_until(TrainingRun.objects.exclude(state="cancelled").first, seconds=60)
    training.cancel(actor=Actor(user=run.requested_by), run=run)
    connection.close()
