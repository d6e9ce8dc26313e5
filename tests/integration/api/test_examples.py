"""The examples on the API page do what they say: each is taken from the page and run as it stands, on a running site.

Each gets a token with the scopes that the page names, and no other.
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

# What is found in what an example prints: by curl, in Python.
SAYS = {
    "picture": (r'"state":"predicted"', r"\d (sure|unsure)"),
    "file": (r'"may_train":false', r"\d"),
    "drawing": (r'"digit":7', r"^7$"),
    "preview": (r'"verdict":', r"^7 \["),
    "batch": (r'^\[\{"status":20.*\{"status":20.*\{"status":20', r"(201 .* predicted\n){2}"),
    "wait": (r'"state":"predicted"', r"predicted \{"),
    "manage": (r'"value":"1"', r"^1 204$"),
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
    """With an operator, olga, who sent four drawings, one of them settled."""
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
    """The code on the page, by example and language."""
    # Its code names the address under which it was asked for.
    text = Client(HTTP_HOST=f"127.0.0.1:{site.port}").get(reverse("api-docs")).content.decode()
    return {
        (name.group(1), language): html.unescape(code)
        for name in DETAILS.finditer(text)
        for language, code in FIGURE.findall(name.group())
    }


def test_every_job_has_its_example_in_both_languages(page: dict) -> None:
    assert set(page) == {(one.name, language) for one in EXAMPLES for language in LANGUAGES}
    assert set(SAYS) == {one.name for one in EXAMPLES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_works_as_it_stands(example, language: str, page: dict, site: Site, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_bytes(png(digit()))
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if example.scopes:
        name = f"{example.name} in {language}"
        _, environment["DIGITS_TOKEN"] = tokens.create(actor=site.olga, name=name, scopes=example.scopes)
    command = ["bash", "-c"] if language == "curl" else [sys.executable, "-c"]
    canceller = threading.Thread(target=cancel_the_training)
    if example.name == "retrain":  # there is no trainer here
        canceller.start()
    done = subprocess.run(
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
    assert done.returncode == 0, done.stderr
    said = SAYS[example.name][list(LANGUAGES).index(language)]
    assert re.search(said, done.stdout), done.stdout


def cancel_the_training() -> None:
    run = wait_until(TrainingRun.objects.exclude(state="cancelled").first, seconds=60)
    training.cancel(actor=Actor(user=run.requested_by), run=run)
    connection.close()
