"""A real site and a real Chromium for the tests of what people see.

Every page that a test opens is watched: a message on the console, a script's error, anything that the security policy
blocked and any request to another host fails the test, whatever it was about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from digitsite.testing import chromium
from digitsite.testing.site import Site

from .accounts import manage

SECONDS = 15
expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="session")
def running_site(template_database: Path) -> Iterator[Site]:
    site = Site(template_database)
    try:
        site.collect_static_files()
        site.start_redis()
        site.worker = site.start_worker()
        site.start_web()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="session")
def demo(running_site: Site) -> None:
    """Pictures for all the tests that review some; a site takes one demo."""
    manage(running_site, "demo", "--count", "260", "--seed", "5")


# One browser for a module, not for the session: while Playwright runs, this process has an event loop, and Django
# refuses to use its database in one. https://playwright.dev/python/docs/library
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(running_site: Site, browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes people: each has a browser profile of their own, and every one of them is watched."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
        page.on("console", lambda message: _listen(message.type, message.text, complaints))
        page.on("request", lambda request: _check_host(request.url, complaints))

    def make(**options: object) -> BrowserContext:
        address = f"http://127.0.0.1:{running_site.port}"
        context = browser.new_context(**{"base_url": address, "viewport": {"width": 1280, "height": 800}} | options)
        context.set_default_timeout(SECONDS * 1000)
        context.on("page", watch)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def _listen(kind: str, text: str, complaints: list[str]) -> None:
    # The browser itself reports every answer of 400 and more; a test that provokes one checks what the page says.
    if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
        complaints.append(f"{kind}: {text}")


def _check_host(url: str, complaints: list[str]) -> None:
    address = urlsplit(url)
    if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
        complaints.append(f"request to another host: {url}")


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A new visitor's page, nothing opened yet."""
    return new_context().new_page()
