"""Whatever ends while a person works, session, role or line: what they did is kept, and stored as theirs alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from digitsite.testing.site import Site

from .accounts import create_accounts, fill_in, set_role, sign_in, sign_out, sign_out_elsewhere
from .drawing import ONE, SEVEN, draw, expect_answer, ink, stored
from .queue import open_queue, press, release_leases, standing, until_shown, until_stored
from .test_upload import picture, row

pytestmark = pytest.mark.usefixtures("demo")

DECISIONS = "**/review/decisions"


@pytest.fixture(scope="module")
def sessions(running_site: Site) -> dict[str, dict]:
    reviewers = [(f"rita{number}", "reviewer") for number in range(25)]
    return create_accounts(running_site, [*reviewers, *((f"vera{number}", "visitor") for number in range(5))])


@pytest.fixture(autouse=True)
def nobody_is_at_it(running_site: Site) -> None:
    release_leases(running_site)


@pytest.fixture(scope="module")
def unused(sessions: dict[str, dict]) -> dict[str, list[str]]:
    """Names of accounts that no test has used yet."""
    return {kind: [name for name in sessions if name.startswith(kind)] for kind in ("rita", "vera")}


@pytest.fixture
def rita(page: Page, sessions: dict[str, dict], unused: dict[str, list[str]]) -> str:
    """A reviewer who has decided nothing yet; signed in on `page`."""
    name = unused["rita"].pop()
    page.context.add_cookies([sessions[name]])
    return name


@pytest.fixture
def robin(unused: dict[str, list[str]]) -> str:
    """Another reviewer, signed in nowhere."""
    return unused["rita"].pop()


@pytest.fixture
def vera(page: Page, sessions: dict[str, dict], unused: dict[str, list[str]]) -> str:
    """An account without a role and without pictures; signed in on `page`."""
    name = unused["vera"].pop()
    page.context.add_cookies([sessions[name]])
    return name


def decide_without_a_line(page: Page, keys: str) -> dict[str, str]:
    """Press keys while the site cannot be reached; returns what is to be stored, by submission."""
    page.route(DECISIONS, lambda route: route.abort())
    decided = dict(press(page, key) for key in keys)
    expect(page.locator("[data-trouble]")).to_contain_text("Your decisions are kept")
    return decided


def notice(page: Page):
    return page.locator("[data-notice]")


def labels(page: Page) -> list[tuple[str, str]]:
    """Everything that this reviewer ever decided, in its order: a decision stored twice would be there twice."""
    rows = page.request.get("/api/v1/labels?kind=review&page_size=200&ordering=created").json()["results"]
    return [(one["submission"], one["value"]) for one in rows if one["mine"]]


# --- Review: the session ends ----------------------------------------------------------------------------------------


def test_decisions_after_the_session_has_ended_are_kept_and_stored_after_signing_in_again(
    page: Page, rita: str
) -> None:
    open_queue(page)
    decided = decide_without_a_line(page, "0123456789xmr4")
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
    until_stored(page)
    assert labels(page) == list(decided.items())
    assert until_shown(page) not in decided


def test_signing_in_again_on_another_tab_lets_the_queue_go_on(page: Page, rita: str) -> None:
    open_queue(page)
    tab = sign_out_elsewhere(page)
    first = press(page, "3")
    expect(notice(page)).to_have_text("You are signed out. Sign in again; your 1 decision is kept.")
    sign_in(tab, rita)
    until_stored(page)
    expect(notice(page)).to_be_hidden()
    second = press(page, "4")
    until_stored(page)
    assert labels(page) == [first, second]


def test_a_closed_tab_loses_no_decision(page: Page, rita: str) -> None:
    open_queue(page)
    decided = decide_without_a_line(page, "12")
    tab = page.context.new_page()
    page.close()
    open_queue(tab)
    until_stored(tab)
    assert labels(tab) == list(decided.items())


def test_unsent_decisions_of_one_reviewer_are_not_sent_as_the_next_ones(page: Page, rita: str, robin: str) -> None:
    open_queue(page)
    decided = decide_without_a_line(page, "67")
    sign_out_elsewhere(page).close()
    page.goto("/account/login/")
    page.unroute(DECISIONS)
    sign_in(page, robin)
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.post_data))
    open_queue(page)
    assert page.locator("[data-unsent]").text_content() == "0"
    own = press(page, "8")
    until_stored(page)
    assert labels(page) == [own]
    assert not any(submission in body for submission in decided for body in sent)
    sign_out(page)
    sign_in(page, rita)
    open_queue(page)
    until_stored(page)
    assert labels(page) == list(decided.items())


def test_a_page_of_one_reviewer_sends_nothing_once_another_has_signed_in(page: Page, rita: str, robin: str) -> None:
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
    until_stored(page)
    assert labels(page) == [decided]


def test_a_reviewer_whose_role_is_taken_away_is_told_so_and_loses_nothing(
    page: Page, rita: str, running_site: Site
) -> None:
    open_queue(page)
    set_role(running_site, rita, "visitor")
    decided = press(page, "9")
    expect(notice(page)).to_have_text(
        "Your account may not do this any more: ask an operator. Your 1 decision is kept."
    )
    set_role(running_site, rita, "reviewer")
    open_queue(page)
    until_stored(page)
    assert labels(page) == [decided]


# --- Review: the line and the site -----------------------------------------------------------------------------------


def answers(*problems: tuple[int, dict[str, str]]) -> Callable[[Route], None]:
    """Every first try of a request is answered with one of these, status and headers; the site answers the second."""
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


def test_a_busy_site_is_asked_again_until_it_has_each_decision_once(page: Page, rita: str) -> None:
    open_queue(page)
    page.route(DECISIONS, answers((429, {"Retry-After": "1"}), (503, {}), (408, {}), (507, {}), (201, {})))
    asked = []
    page.on("request", lambda request: request.url.endswith("/review/decisions") and asked.append(time.monotonic()))
    decided = [press(page, "1")]
    expect(page.locator("[data-trouble]")).to_contain_text("Answered with 429. Your decisions are kept")
    decided += [press(page, key) for key in "3579"]
    until_stored(page)
    assert labels(page) == decided
    assert len(asked) == 2 * len(decided)
    assert asked[1] - asked[0] >= 1, "as long as Retry-After says"
    expect(page.locator("[data-trouble]")).to_be_hidden()


def test_a_lost_csrf_cookie_is_renewed(page: Page, rita: str) -> None:
    open_queue(page)
    page.context.clear_cookies(name=page.locator("html").get_attribute("data-csrf-cookie"))
    decided = press(page, "6")
    until_stored(page)
    assert labels(page) == [decided]
    expect(notice(page)).to_be_hidden()


def test_a_refused_decision_is_named_and_the_others_are_stored(page: Page, rita: str) -> None:
    open_queue(page)
    page.route(DECISIONS, answers((409, {})))
    press(page, "1")
    second = press(page, "2")
    until_stored(page)
    assert labels(page) == [second]
    expect(page.locator("[data-trouble]")).to_have_text("1 decision could not be stored: Answered with 409.")


# --- Storage that the browser does not give ---------------------------------------------------------------------------

BLOCK_STORAGE = """() => {
  for (const area of ["localStorage", "sessionStorage"]) {
    Object.defineProperty(window, area, { get: () => { throw new DOMException("blocked", "SecurityError"); } });
  }
}"""


def test_review_and_draw_work_where_the_browser_stores_nothing(page: Page, rita: str) -> None:
    page.add_init_script(f"({BLOCK_STORAGE})()")
    open_queue(page)
    decided = press(page, "7")
    until_stored(page)
    assert labels(page) == [decided]
    page.goto("/")
    draw(page, SEVEN)
    expect_answer(page, "7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()


# --- Draw ------------------------------------------------------------------------------------------------------------


def test_a_drawing_is_kept_while_its_account_is_signed_out_and_shown_to_no_other(
    page: Page, vera: str, robin: str
) -> None:
    page.goto("/")
    draw(page, SEVEN)
    expect_answer(page, "7")
    drawn = ink(page)
    sign_out_elsewhere(page).close()
    page.keyboard.press("Enter")
    expect(notice(page)).to_have_text("You are signed out. Sign in again; your drawing is kept.")
    assert stored(page) == [], "it is no visitor's"
    sign_in(page, robin)
    page.goto("/")
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    sign_out(page)
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    sign_in(page, vera)
    page.goto("/")
    expect_answer(page, "7")
    assert ink(page) == drawn
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert len(stored(page)) == 1


def test_a_visitor_who_signs_in_takes_the_drawing_along(page: Page, robin: str) -> None:
    page.goto("/")
    draw(page, ONE)
    expect_answer(page, "1")
    sign_in(page, robin)
    page.goto("/")
    expect_answer(page, "1")
    sign_out(page)
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()


# --- Upload, grid, forms ---------------------------------------------------------------------------------------------


def test_an_upload_waits_on_its_page_until_its_account_is_back(page: Page, vera: str) -> None:
    page.goto("/upload/")
    sign_out_elsewhere(page).close()
    page.locator("[data-files]").set_input_files(picture("one.png", [(50, 15), (50, 85)]))
    expect(notice(page)).to_contain_text("your picture is kept on this page")
    with page.expect_popup() as popup:
        notice(page).get_by_role("link", name="Sign in again").click()
    fill_in(popup.value, vera)
    expect(row(page, "one.png").locator("[data-digit]")).to_have_text("1")
    expect(notice(page)).to_be_hidden()
    assert len(stored(page)) == 1


def test_what_was_marked_in_a_grid_survives_the_end_of_the_session(page: Page, rita: str) -> None:
    page.goto("/review/grid/")
    shown = [one.get_attribute("value") for one in page.locator("input[name=shown]").all()]
    page.locator(".cell-face").first.click()
    tab = sign_out_elsewhere(page)
    page.get_by_role("button", name="Confirm").click()
    expect(notice(page)).to_contain_text("what you marked is kept")
    expect(page.locator(".cell-face").first).to_have_attribute("aria-pressed", "true")
    sign_in(tab, rita)
    expect(notice(page)).to_be_hidden()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text(f"{len(shown) - 1} confirmed as")).to_be_visible()
    assert set(standing(page)) == set(shown[1:])


def test_what_was_chosen_in_history_survives_a_lost_line(page: Page, rita: str) -> None:
    page.goto("/history/")
    page.locator("[data-choose]").first.check()
    page.locator("[data-bulk] select").select_option("5")
    page.route("**/history/bulk/", lambda route: route.abort())
    page.get_by_role("button", name="Label the chosen").click()
    expect(notice(page)).to_contain_text("What you chose is kept.")
    page.unroute("**/history/bulk/")
    page.get_by_role("button", name="Label the chosen").click()
    expect(page.get_by_text("1 labelled: 5.")).to_be_visible()
    assert list(standing(page).values()) == ["5"]


def test_a_form_is_sent_after_signing_in_again_elsewhere_and_never_for_another_account(
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
    assert standing(tab) == {}
