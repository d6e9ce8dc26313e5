"""Browser tests of the API page under the site's security policy.

Collects all static files, including Swagger UI, which takes longer than the tests.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import BrowserContext, expect

from digitsite.testing import layout_shifts
from digitsite.testing.site import BASE_DIR, Site

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def running_site(template_database: Path) -> Iterator[Site]:
    site = Site(template_database)
    try:
        command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"]
        subprocess.run(command, cwd=BASE_DIR, env=site.environment, check=True)
        site.start_redis()
        site.start_worker()
        site.start_web()
        yield site
    finally:
        site.stop()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_a_drawing_is_sent_from_the_page(width: int, scheme: str, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(reverse("api-docs"))
    operation = page.locator("#operations-submissions-create_submission")
    operation.locator(".opblock-summary").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text("201")
    expect(answer).to_contain_text('"digit": 7')
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_example_is_copied(new_context: Callable[..., BrowserContext]) -> None:
    context = new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(reverse("api-docs"))
    button = page.locator("#example-picture [data-language=curl]").get_by_role("button")
    button.click()
    expect(button).to_contain_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -F image=@digit.png http://127.0.0.1:")


@pytest.mark.parametrize("screen", layout_shifts.SCREENS)
def test_page_does_not_shift_while_loading(screen: str, new_context: Callable[..., BrowserContext]) -> None:
    loaded = layout_shifts.load(new_context(viewport=layout_shifts.SCREENS[screen]), reverse("api-docs"))
    assert loaded.shift <= layout_shifts.MAX_SHIFT, loaded.moved
