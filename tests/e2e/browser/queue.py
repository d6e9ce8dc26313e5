"""The review queue as a reviewer uses it in the browser tests."""

from __future__ import annotations

import contextlib
import sqlite3

from playwright.sync_api import Page

from digitsite.testing.site import Site

KEYS = {"x": "not_a_digit", "m": "several", "r": "unreadable"}


def release_leases(site: Site) -> None:
    """Delete the leases of earlier tests. (Uses sqlite3, because Django refuses the database here: see conftest.)"""
    with contextlib.closing(sqlite3.connect(site.folder / "db.sqlite3", timeout=10)) as database:
        database.execute("DELETE FROM recognizer_lease")
        database.commit()


def open_queue(page: Page, rule: str = "newest") -> None:
    page.goto(f"/review/?rule={rule}")
    wait_until_shown(page)


def wait_until_shown(page: Page) -> str:
    """Wait until an image is shown and keys work. Returns the id of the submission."""
    return page.wait_for_function(
        "() => document.querySelector('[data-review]').dataset.item"
        " && document.querySelector('[data-stage]').getAttribute('aria-busy') === 'false'"
        " && document.querySelector('[data-review]').dataset.item"
    ).json_value()


def press(page: Page, key: str) -> tuple[str, str]:
    """Press a key. Returns the id of the submission and the label."""
    shown = wait_until_shown(page)
    means = page.locator("[data-confirm]").get_attribute("value") if key == "Enter" else KEYS.get(key, key)
    page.keyboard.press(key)
    return shown, means


def wait_until_stored(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('[data-unsent]').textContent === '0'")


def active_labels(page: Page) -> dict[str, str]:
    """Return this reviewer's active label of each submission, from the API."""
    rows, url = [], "/api/v1/labels?kind=review&page_size=200&ordering=created"
    while url:
        body = page.request.get(url).json()
        rows += [row for row in body["results"] if row["mine"]]
        url = body["next"]
    retracted = {row["retracts"] for row in rows}
    return {row["submission"]: row["value"] for row in rows if row["value"] and row["id"] not in retracted}
