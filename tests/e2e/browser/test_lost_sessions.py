"""Browser tests of lost sessions, roles and connections: unsent work is kept and stored under its own account."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from digitsite.testing.site import Site

from .accounts import create_accounts, fill_in, set_role, sign_in, sign_out, sign_out_elsewhere
from .drawing import STROKE_1, STROKE_7, count_ink, draw, expect_answer, list_submissions
from .queue import active_labels, open_queue, press, release_leases, wait_until_shown, wait_until_stored
from .test_upload import image_file, row

pytestmark = pytest.mark.usefixtures("demo")

DECISIONS = "**/review/decisions"


@pytest.fixture(scope="module")
def sessions(running_site: Site) -> dict[str, dict]:
    reviewers = [(f"rita{number}", "reviewer") for number in range(25)]
    return create_accounts(running_site, [*reviewers, *((f"vera{number}", "visitor") for number in range(5))])


@pytest.fixture(autouse=True)
def no_leases(running_site: Site) -> None:
    release_leases(running_site)


@pytest.fixture(scope="module")
def unused(sessions: dict[str, dict]) -> dict[str, list[str]]:
    """Return the names of accounts that no test has used yet."""
    return {kind: [name for name in sessions if name.startswith(kind)] for kind in ("rita", "vera")}


@pytest.fixture
def rita(page: Page, sessions: dict[str, dict], unused: dict[str, list[str]]) -> str:
    """A reviewer without decisions, signed in on `page`."""
    name = unused["rita"].pop()
    page.context.add_cookies([sessions[name]])
    return name


@pytest.fixture
def robin(unused: dict[str, list[str]]) -> str:
    """Another reviewer, not signed in."""
    return unused["rita"].pop()


@pytest.fixture
def vera(page: Page, sessions: dict[str, dict], unused: dict[str, list[str]]) -> str:
    """An account without role and submissions, signed in on `page`."""
    name = unused["vera"].pop()
    page.context.add_cookies([sessions[name]])
    return name


def decide_offline(page: Page, keys: str) -> dict[str, str]:
    """Press keys while the site is unreachable. Returns the expected labels by submission."""
    page.route(DECISIONS, lambda route: route.abort())
    decided = dict(press(page, key) for key in keys)
    expect(page.locator("[data-trouble]")).to_contain_text("Your decisions are kept")
    return decided


def notice(page: Page):
    return page.locator("[data-notice]")


def labels(page: Page) -> list[tuple[str, str]]:
    """Return the decisions of this reviewer in order, including duplicates."""
    rows = page.request.get("/api/v1/labels?kind=review&page_size=200&ordering=created").json()["results"]
    return [(label["submission"], label["value"]) for label in rows if label["mine"]]


# --- Review: sessions ------------------------------------------------------------------------------------------------


def test_decisions_after_the_session_has_ended_are_kept_and_stored_after_signing_in_again(
    page: Page, rita: str
) -> None:
    open_queue(page)
    decided = decide_offline(page, "0123456789xmr4")
    sign_out_elsewhere(page).close()
    page.unroute(DECISIONS)
    expect(notice(page)).to_have_text("You are signed out. Sign in again; your 14 decisions are kept.")
    shown = page.locator("[data-review]").get_attribute("data-item")
    page.keyboard.press("5")
    assert page.locator("[data-review]").get_attribute("data-item") == shown, "the queue has stopped"
    expect(notice(page).get_by_role("link", name="Sign in again")).to_be_focused()
    page.keyboard.press("Enter")
    fill_in(page, rita)
    page.wait_for_url("**/review/?rule=newest")
    wait_until_stored(page)
    assert labels(page) == list(decided.items())
    assert wait_until_shown(page) not in decided


def test_queue_continues_after_signing_in_on_another_tab(page: Page, rita: str) -> None:
    open_queue(page)
    tab = sign_out_elsewhere(page)
    first = press(page, "3")
    expect(notice(page)).to_have_text("You are signed out. Sign in again; your 1 decision is kept.")
    sign_in(tab, rita)
    wait_until_stored(page)
    expect(notice(page)).to_be_hidden()
    second = press(page, "4")
    wait_until_stored(page)
    assert labels(page) == [first, second]


def test_decisions_survive_a_closed_tab(page: Page, rita: str) -> None:
    open_queue(page)
    decided = decide_offline(page, "12")
    tab = page.context.new_page()
    page.close()
    open_queue(tab)
    wait_until_stored(tab)
    assert labels(tab) == list(decided.items())


def test_unsent_decisions_are_not_sent_under_another_account(page: Page, rita: str, robin: str) -> None:
    open_queue(page)
    decided = decide_offline(page, "67")
    sign_out_elsewhere(page).close()
    page.goto("/account/login/")
    page.unroute(DECISIONS)
    sign_in(page, robin)
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.post_data))
    open_queue(page)
    assert page.locator("[data-unsent]").text_content() == "0"
    own = press(page, "8")
    wait_until_stored(page)
    assert labels(page) == [own]
    assert not any(submission in body for submission in decided for body in sent)
    sign_out(page)
    sign_in(page, rita)
    open_queue(page)
    wait_until_stored(page)
    assert labels(page) == list(decided.items())


def test_page_sends_nothing_after_another_account_has_signed_in(page: Page, rita: str, robin: str) -> None:
    open_queue(page)
    tab = sign_out_elsewhere(page)
    sign_in(tab, robin)
    decided = press(page, "2")
    expect(notice(page)).to_contain_text("signed in with another account now")
    assert page.locator("[data-notice]").get_attribute("role") == "alert"
    assert labels(tab) == []
    page.get_by_role("link", name=f"Sign in again as {rita}").click()
    expect(page.locator("main")).to_contain_text(f"{robin} is signed in")
    fill_in(page, rita)
    page.wait_for_url("**/review/?rule=newest")
    wait_until_stored(page)
    assert labels(page) == [decided]


def test_decisions_survive_the_removal_of_the_role(page: Page, rita: str, running_site: Site) -> None:
    open_queue(page)
    set_role(running_site, rita, "visitor")
    decided = press(page, "9")
    expect(notice(page)).to_have_text(
        "Your account may not do this any more: ask an operator. Your 1 decision is kept."
    )
    set_role(running_site, rita, "reviewer")
    open_queue(page)
    wait_until_stored(page)
    assert labels(page) == [decided]


# --- Review: connection and server errors ----------------------------------------------------------------------------


def failing(*problems: tuple[int, dict[str, str]]) -> Callable[[Route], None]:
    """Fulfil the first attempt of each request with one of these statuses and headers; pass on the second."""
    left = list(problems)
    tried: set[str] = set()

    def answer(route: Route) -> None:
        content = route.request.post_data
        if content in tried or not left:
            route.continue_()
            return
        tried.add(content)
        status, headers = left.pop(0)
        body = json.dumps({"status": status, "detail": f"Answered with {status}.", "code": "throttled"})
        is_cut_off = status < 300
        headers = {"Content-Type": "application/json", **headers}
        route.fulfill(status=status, headers=headers, body=body[:9] if is_cut_off else body)

    return answer


def test_decisions_are_retried_until_stored_once(page: Page, rita: str) -> None:
    open_queue(page)
    page.route(DECISIONS, failing((429, {"Retry-After": "1"}), (503, {}), (408, {}), (507, {}), (201, {})))
    times = []
    page.on("request", lambda request: request.url.endswith("/review/decisions") and times.append(time.monotonic()))
    decided = [press(page, "1")]
    expect(page.locator("[data-trouble]")).to_contain_text("Answered with 429. Your decisions are kept")
    decided += [press(page, key) for key in "3579"]
    wait_until_stored(page)
    assert labels(page) == decided
    assert len(times) == 2 * len(decided)
    assert times[1] - times[0] >= 1, "respects Retry-After"
    expect(page.locator("[data-trouble]")).to_be_hidden()


def test_a_lost_csrf_cookie_is_renewed(page: Page, rita: str) -> None:
    open_queue(page)
    page.context.clear_cookies(name=page.locator("html").get_attribute("data-csrf-cookie"))
    decided = press(page, "6")
    wait_until_stored(page)
    assert labels(page) == [decided]
    expect(notice(page)).to_be_hidden()


def test_rejected_decision_is_reported_and_later_ones_are_stored(page: Page, rita: str) -> None:
    open_queue(page)
    page.route(DECISIONS, failing((409, {})))
    press(page, "1")
    second = press(page, "2")
    wait_until_stored(page)
    assert labels(page) == [second]
    expect(page.locator("[data-trouble]")).to_have_text("1 decision could not be stored: Answered with 409.")


# --- Blocked browser storage -----------------------------------------------------------------------------------------

BLOCK_STORAGE = """() => {
  for (const area of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, area, { get: () => { throw new DOMException("blocked", "SecurityError"); } });
  }
}"""


def test_review_and_draw_work_without_browser_storage(page: Page, rita: str) -> None:
    page.add_init_script(f"({BLOCK_STORAGE})()")
    open_queue(page)
    decided = press(page, "7")
    wait_until_stored(page)
    assert labels(page) == [decided]
    page.goto("/")
    draw(page, STROKE_7)
    expect_answer(page, "7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()


# --- Draw ------------------------------------------------------------------------------------------------------------


def test_drawing_of_a_signed_out_account_is_kept_and_hidden_from_others(page: Page, vera: str, robin: str) -> None:
    page.goto("/")
    draw(page, STROKE_7)
    expect_answer(page, "7")
    drawn = count_ink(page)
    sign_out_elsewhere(page).close()
    page.keyboard.press("Enter")
    expect(notice(page)).to_have_text("You are signed out. Sign in again; your drawing is kept.")
    assert list_submissions(page) == [], "not stored for the visitor"
    sign_in(page, robin)
    page.goto("/")
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    sign_out(page)
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    sign_in(page, vera)
    page.goto("/")
    expect_answer(page, "7")
    assert count_ink(page) == drawn
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert len(list_submissions(page)) == 1


def test_drawing_of_a_visitor_is_kept_after_signing_in(page: Page, robin: str) -> None:
    page.goto("/")
    draw(page, STROKE_1)
    expect_answer(page, "1")
    sign_in(page, robin)
    page.goto("/")
    expect_answer(page, "1")
    sign_out(page)
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()


# --- Upload, grid, forms ---------------------------------------------------------------------------------------------


def test_upload_waits_until_the_account_is_signed_in_again(page: Page, vera: str) -> None:
    page.goto("/upload/")
    sign_out_elsewhere(page).close()
    page.locator("[data-files]").set_input_files(image_file("one.png", [(50, 15), (50, 85)]))
    expect(notice(page)).to_contain_text("your picture is kept on this page")
    with page.expect_popup() as popup:
        notice(page).get_by_role("link", name="Sign in again").click()
    fill_in(popup.value, vera)
    expect(row(page, "one.png").locator("[data-digit]")).to_have_text("1")
    expect(notice(page)).to_be_hidden()
    assert len(list_submissions(page)) == 1


def test_grid_selection_survives_the_end_of_the_session(page: Page, rita: str) -> None:
    page.goto("/review/grid/")
    shown = [field.get_attribute("value") for field in page.locator("input[name=shown]").all()]
    page.locator(".cell-face").first.click()
    tab = sign_out_elsewhere(page)
    page.get_by_role("button", name="Confirm").click()
    expect(notice(page)).to_contain_text("what you marked is kept")
    expect(page.locator(".cell-face").first).to_have_attribute("aria-pressed", "true")
    sign_in(tab, rita)
    expect(notice(page)).to_be_hidden()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text(f"{len(shown) - 1} confirmed as")).to_be_visible()
    assert set(active_labels(page)) == set(shown[1:])


def test_history_selection_survives_a_lost_connection(page: Page, rita: str) -> None:
    page.goto("/history/")
    page.locator("[data-choose]").first.check()
    page.locator("[data-bulk] select").select_option("5")
    page.route("**/history/bulk/", lambda route: route.abort())
    page.get_by_role("button", name="Label the chosen").click()
    expect(notice(page)).to_contain_text("What you chose is kept.")
    page.unroute("**/history/bulk/")
    page.get_by_role("button", name="Label the chosen").click()
    expect(page.get_by_text("1 labelled: 5.")).to_be_visible()
    assert list(active_labels(page).values()) == ["5"]


def test_form_works_after_signing_in_on_another_tab_but_not_under_another_account(
    page: Page, rita: str, robin: str
) -> None:
    page.goto("/history/")
    page.locator(".tile").first.click()
    page.get_by_role("button", name="4", exact=True).wait_for()
    tab = sign_out_elsewhere(page)
    sign_in(tab, rita)
    page.get_by_role("button", name="4", exact=True).click()
    expect(page.locator(".message")).to_contain_text("Noted: 4.")
    sign_out(tab)
    sign_in(tab, robin)
    page.get_by_role("button", name="3", exact=True).click()
    expect(page.get_by_role("heading", name="Another account is signed in now")).to_be_visible()
    assert active_labels(tab) == {}
