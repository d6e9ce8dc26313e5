"""Browser tests of layout shifts while scripts and images load."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from digitsite.testing import layout_shifts
from digitsite.testing.site import BASE_DIR, Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

# Prints a sign-in link and the URL of a submission. Elsa holds the leases in `empty_queue`.
SETUP = """
from recognizer.models import Submission
from recognizer.services.identity import users
users.make_operator("elsa")
print(users.sign_in_link(users.make_operator("moira")))
print(Submission.objects.first().get_absolute_url())
"""
LEASE_ALL = """
    INSERT OR IGNORE INTO recognizer_lease (submission_id, digest, reviewer_id, reason, created, expires)
    SELECT id, digest, (SELECT id FROM auth_user WHERE username = 'elsa'), 'newest', '2026-01-01', '2999-01-01'
    FROM recognizer_submission
"""
RELEASE_ALL = "DELETE FROM recognizer_lease"
QUEUES = ("/review/", "/review/grid/")
# The desktop layout differs on these pages only.
PAGES = {
    "phone": ("/", "/upload/", "/history/", *QUEUES, "/models/", "/status/"),
    "desktop": ("/", "/history/", *QUEUES),
}


@pytest.fixture(scope="module")
def addresses(running_site: Site, demo: None) -> tuple[str, str]:
    """Return the sign-in link of an operator and the URL of a submission."""
    command = [sys.executable, "manage.py", "shell", "-c", SETUP]
    done = subprocess.run(
        command, cwd=BASE_DIR, env=running_site.environment, capture_output=True, text=True, check=True
    )
    *_, link, page = done.stdout.split()
    return link, page


@pytest.fixture(scope="module")
def cookies(running_site: Site, browser: Browser, addresses: tuple[str, str]) -> list[dict]:
    """Return the cookies of the operator; the link works once."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{running_site.port}")
    page = context.new_page()
    page.goto(addresses[0])
    page.get_by_role("main").get_by_role("button").first.click()
    expect(page.get_by_text("Signed in as moira")).to_be_visible()
    cookies = context.cookies()
    context.close()
    return cookies


@pytest.fixture(
    params=[
        pytest.param(name, marks=() if name == "phone" else pytest.mark.acceptance) for name in layout_shifts.SCREENS
    ]
)
def screen(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def operator(screen: str, new_context: Callable[..., BrowserContext], cookies: list[dict]) -> BrowserContext:
    context = new_context(viewport=layout_shifts.SCREENS[screen])
    context.add_cookies(cookies)
    return context


@pytest.fixture
def empty_queue(running_site: Site) -> Iterator[None]:
    execute(running_site, RELEASE_ALL, LEASE_ALL)
    yield
    execute(running_site, RELEASE_ALL)


def execute(site: Site, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(site.folder / "db.sqlite3", timeout=10)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def is_empty(context: BrowserContext, queue: str) -> bool:
    return 'class="stage-picture"' not in context.request.get(queue).text()


def movements(context: BrowserContext, pages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the elements that moved too far, by page."""
    loaded = {page: layout_shifts.load(context, page) for page in pages}
    return {page: result.moved for page, result in loaded.items() if result.shift > layout_shifts.MAX_SHIFT}


def test_pages_do_not_shift_while_loading(operator: BrowserContext, screen: str, addresses: tuple[str, str]) -> None:
    assert movements(operator, (*PAGES[screen], addresses[1])) == {}
    assert not any(is_empty(operator, page) for page in QUEUES)


def test_empty_queues_do_not_shift_while_loading(operator: BrowserContext, empty_queue: None) -> None:
    assert movements(operator, QUEUES) == {}
    assert all(is_empty(operator, page) for page in QUEUES)
