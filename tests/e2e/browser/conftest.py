"""Fixtures of the browser tests: a running site and Chromium.

A console message, a script error, a violation of the security policy or a request to another host fails the test.
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
    """Store demo data to review. A site accepts one demo."""
    manage(running_site, "demo", "--count", "260", "--seed", "5")


# One browser per module, not per session: Playwright runs an event loop, in which Django refuses to use the database. https://playwright.dev/python/docs/library
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium.executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(running_site: Site, browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Create browser contexts whose errors fail the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def watch(page: Page) -> None:
        page.on("pageerror", lambda error: errors.append(f"script error: {error}"))
        page.on("console", lambda message: _check_message(message.type, message.text, errors))
        page.on("request", lambda request: _check_host(request.url, errors))

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
    assert errors == []


def _check_message(kind: str, text: str, errors: list[str]) -> None:
    # The browser logs every response of 400 and more. Tests that provoke them check the page instead.
    if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
        errors.append(f"{kind}: {text}")


def _check_host(url: str, errors: list[str]) -> None:
    address = urlsplit(url)
    if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
        errors.append(f"request to another host: {url}")


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """An empty page of a new visitor."""
    return new_context().new_page()
