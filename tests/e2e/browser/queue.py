"""The review queue as a reviewer uses it in the browser tests."""

from __future__ import annotations

import contextlib
import sqlite3

from playwright.sync_api import Page

from digitsite.testing.site import Site

KEYS = {"x": "not_a_digit", "m": "several", "r": "unreadable"}


def release_leases(site: Site) -> None:
    """The leases of the test before have run out. (Django's own way to the database is barred: see conftest.)"""
    with contextlib.closing(sqlite3.connect(site.folder / "db.sqlite3", timeout=10)) as database:
        database.execute("DELETE FROM recognizer_lease")
        database.commit()


def open_queue(page: Page, rule: str = "newest") -> None:
    page.goto(f"/review/?rule={rule}")
    until_shown(page)


def until_shown(page: Page) -> str:
    """The id of the picture that is shown, as soon as one is and keys count."""
    return page.wait_for_function(
        "() => document.querySelector('[data-review]').dataset.item"
        " && document.querySelector('[data-stage]').getAttribute('aria-busy') === 'false'"
        " && document.querySelector('[data-review]').dataset.item"
    ).json_value()


def press(page: Page, key: str) -> tuple[str, str]:
    """Press a key; which picture it was about, and what it means."""
    shown = until_shown(page)
    means = page.locator("[data-confirm]").get_attribute("value") if key == "Enter" else KEYS.get(key, key)
    page.keyboard.press(key)
    return shown, means


def until_stored(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('[data-unsent]').textContent === '0'")


def standing(page: Page) -> dict[str, str]:
    """What this reviewer's word on each submission is, by the site's own API."""
    rows, url = [], "/api/v1/labels?kind=review&page_size=200&ordering=created"
    while url:
        body = page.request.get(url).json()
        rows += [row for row in body["results"] if row["mine"]]
        url = body["next"]
    retracted = {row["retracts"] for row in rows}
    return {row["submission"]: row["value"] for row in rows if row["value"] and row["id"] not in retracted}
