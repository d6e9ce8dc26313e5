"""Browser tests of the review of one submission at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from digitsite.testing.site import Site

from .accounts import manage
from .queue import active_labels, open_queue, press, release_leases, wait_until_shown, wait_until_stored

# Keys of a reviewer.
PRESSED = [*"7123", "Enter", *"45x0", "Enter", *"m69r8", "Enter"]

# Measures the milliseconds from each key until the next image is painted.
STOPWATCH = """() => {
  window.waits = [];
  window.addEventListener("keydown", (event) => {
    const shown = () => document.querySelector("[data-review]").dataset.item;
    const before = shown();
    requestAnimationFrame(() => setTimeout(() => {
      const picture = document.querySelector("[data-stage] img");
      if (shown() !== before) window.waits.push(picture?.complete ? performance.now() - event.timeStamp : 10_000);
    }));
  }, true);
}"""

pytestmark = pytest.mark.usefixtures("demo")


@pytest.fixture(autouse=True)
def no_leases(running_site: Site) -> None:
    release_leases(running_site)


# Creates all reviewers in one process. Each test uses another one, who has no decisions yet.
MAKE_LINKS = """
from recognizer.services.identity import users
for number in range(12):
    print(users.sign_in_link(users.make_operator(f"r{number}")))
"""


@pytest.fixture(scope="module")
def links(running_site: Site) -> list[tuple[str, str]]:
    paths = [line for line in manage(running_site, "shell", "-c", MAKE_LINKS).splitlines() if line.startswith("/")]
    return [(f"r{number}", path) for number, path in enumerate(paths)]


@pytest.fixture
def sign_in(links: list[tuple[str, str]]) -> Callable[[Page], Page]:
    def sign_in(page: Page) -> Page:
        name, link = links.pop()
        page.goto(link)
        page.locator("main").get_by_role("button").click()
        expect(page.get_by_text(f"Signed in as {name}")).to_be_visible()
        return page

    return sign_in


@pytest.mark.parametrize("count", [15, pytest.param(50, marks=pytest.mark.acceptance)])
def test_keyboard_reviews_are_stored_correctly_on_a_slow_connection(page: Page, sign_in, count: int) -> None:
    def slowly(route: Route) -> None:
        time.sleep(0.05)
        route.continue_()

    sign_in(page)
    page.route("**/review/decisions", slowly)
    open_queue(page)
    expected = {}
    keys = cycle(PRESSED)
    while len(expected) < count:
        shown, means = press(page, next(keys))
        if means:  # Enter does nothing if the prediction is hidden
            expected[shown] = means
    wait_until_stored(page)
    assert active_labels(page) == expected


def test_next_image_is_shown_within_100_ms(page: Page, sign_in) -> None:
    sign_in(page)
    open_queue(page)
    page.evaluate(STOPWATCH)
    for number in range(25):
        press(page, str(number % 10))
        page.wait_for_timeout(200)  # five per second: faster than a person decides
    waits = sorted(page.evaluate("window.waits"))
    assert len(waits) == 25
    # The third quartile: other processes may delay the browser occasionally.
    assert waits[18] <= 100, waits


def test_ten_decisions_can_be_undone(page: Page, sign_in) -> None:
    sign_in(page)
    open_queue(page)
    first = press(page, "3")
    decided = [press(page, key) for key in "0123456789"]
    for shown, _ in reversed(decided):
        page.keyboard.press("u")
        assert wait_until_shown(page) == shown
    wait_until_stored(page)
    assert active_labels(page) == dict([first])
    again = [press(page, "5") for _ in decided]
    assert [shown for shown, _ in again] == [shown for shown, _ in decided]
    wait_until_stored(page)
    assert active_labels(page) == dict([first, *again])


def test_decision_from_before_the_page_was_opened_can_be_undone(page: Page, sign_in) -> None:
    sign_in(page)
    open_queue(page)
    shown, _ = press(page, "8")
    wait_until_stored(page)
    open_queue(page)
    page.keyboard.press("u")
    page.wait_for_function("shown => document.querySelector('[data-review]').dataset.item === shown", arg=shown)
    assert active_labels(page) == {}


def test_decisions_survive_a_lost_connection_and_a_reload(page: Page, sign_in) -> None:
    sign_in(page)
    open_queue(page)
    page.route("**/review/decisions", lambda route: route.abort())
    expected = dict([press(page, "4"), press(page, "2")])
    expect(page.locator("[data-trouble]")).to_contain_text("Your decisions are kept")
    assert active_labels(page) == {}
    page.unroute("**/review/decisions")
    page.reload()
    wait_until_stored(page)
    assert active_labels(page) == expected


def test_keys_are_ignored_in_fields_with_modifiers_and_on_repeat(page: Page, sign_in) -> None:
    sign_in(page)
    open_queue(page)
    shown = wait_until_shown(page)
    page.locator("[data-rule]").focus()
    for key in ("7", "x", "u"):
        page.keyboard.press(key)
    page.locator("[data-rule]").blur()
    for key in ("Control+7", "Alt+7", "Shift+Tab"):
        page.keyboard.press(key)
    page.evaluate(
        "() => document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '7', repeat: true, bubbles: true}))"
    )
    assert wait_until_shown(page) == shown
    assert active_labels(page) == {}


def test_arrows_only_move_and_zoom_only_zooms(page: Page, sign_in) -> None:
    sign_in(page)
    open_queue(page)
    first = wait_until_shown(page)
    page.keyboard.press("ArrowRight")
    second = wait_until_shown(page)
    assert second != first
    page.keyboard.press("ArrowLeft")
    assert wait_until_shown(page) == first
    width = page.locator("[data-stage]").bounding_box()["width"]
    page.keyboard.press("z")
    assert page.locator("[data-stage]").bounding_box()["width"] > width
    assert active_labels(page) == {}


def test_review_works_by_touch_on_a_phone(new_context: Callable[..., BrowserContext], sign_in) -> None:
    page = new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True).new_page()
    sign_in(page)
    open_queue(page)
    shown = wait_until_shown(page)
    box = page.get_by_role("button", name="It is 6", exact=True).bounding_box()
    assert box["y"] + box["height"] <= 740, "the keys are on the first screen"
    assert min(box["width"], box["height"]) >= 44
    page.get_by_role("button", name="It is 6", exact=True).tap()
    page.wait_for_function("shown => document.querySelector('[data-review]').dataset.item !== shown", arg=shown)
    wait_until_stored(page)
    assert active_labels(page) == {shown: "6"}
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_buttons_work_as_forms_without_scripts(new_context: Callable[..., BrowserContext], sign_in) -> None:
    page = new_context(java_script_enabled=False).new_page()
    sign_in(page)
    page.goto("/review/?rule=newest")
    first = page.locator("[data-submission]").get_attribute("value")
    page.get_by_role("button", name="It is 9").click()
    assert active_labels(page) == {first: "9"}
    second = page.locator("[data-submission]").get_attribute("value")
    page.get_by_role("button", name="Skip").click()
    assert page.locator("[data-submission]").get_attribute("value") not in (first, second)
    page.get_by_role("button", name="Undo").click()
    assert page.locator("[data-submission]").get_attribute("value") == first
    assert active_labels(page) == {}


def test_grid_confirms_all_but_the_marked_submissions(page: Page, sign_in) -> None:
    sign_in(page)
    page.goto("/review/grid/")
    digit = page.locator("[data-grid]").get_attribute("data-digit")
    shown = [field.get_attribute("value") for field in page.locator("input[name=shown]").all()]
    assert len(shown) >= 4
    other = str((int(digit) + 1) % 10)
    faces = page.locator(".cell-face")
    faces.nth(0).click()
    page.keyboard.press(other)
    faces.nth(1).click()
    expect(page.locator("[data-right]")).to_have_text(str(len(shown) - 2))
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"{len(shown) - 2} confirmed as {digit}, 1 corrected.")).to_be_visible()
    assert active_labels(page) == {shown[0]: other} | dict.fromkeys(shown[2:], digit)
