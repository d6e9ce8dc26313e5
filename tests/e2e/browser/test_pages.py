"""Browser tests of all pages: layout, keyboard, sharing and formats."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from recognizer.templatetags.formatting import percent

from .drawing import STROKE_3, draw, expect_answer, list_submissions


def save_a_three(page: Page) -> str:
    """Draw and save a 3, and return the URL of its page."""
    page.goto("/")
    draw(page, STROKE_3)
    expect_answer(page, "3")
    page.get_by_role("button", name="Right, it is 3").click()
    expect(page.get_by_text("Saved as a 3.")).to_be_visible()
    return list_submissions(page)[0]["page"]


def test_pages_do_not_scroll_sideways_on_the_smallest_screen(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(viewport={"width": 320, "height": 568}, has_touch=True, is_mobile=True).new_page()
    own = save_a_three(page)
    pages = ["/", "/upload/", "/history/", "/history/?digit=3&verdict=sure", own, f"{own}delete/", "/account/login/"]
    for address in [*pages, "/nothing-here"]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 320, address


def test_prediction_is_next_to_the_canvas_on_a_large_screen(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(viewport={"width": 2560, "height": 1440}).new_page()
    page.goto("/")
    canvas = page.locator("[data-canvas]").bounding_box()
    answer = page.locator("[data-verdict-box]").bounding_box()
    assert canvas["width"] > 900
    assert canvas["y"] + canvas["height"] < 1440
    assert answer["x"] > canvas["x"] + canvas["width"]


def test_controls_are_reachable_by_keyboard_with_visible_focus(page: Page) -> None:
    save_a_three(page)
    page.reload()
    expect_answer(page, "3")
    reached = set()
    for _ in range(45):
        page.keyboard.press("Tab")
        name, has_focus_ring = page.evaluate(
            """() => {
              const element = document.activeElement;
              const shown = element.closest("label") ?? element;
              const parts = [element, shown, element.nextElementSibling ?? element];
              const style = parts.map((part) => getComputedStyle(part));
              const name = element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent;
              return [name.trim(), style.some((part) => part.outlineStyle !== "none" && part.outlineWidth !== "0px")];
            }"""
        )
        if page.evaluate("document.activeElement === document.body"):
            break
        reached.add(name)
        assert has_focus_ring, f"no visible focus on {name}"
    wanted = {
        "Draw",
        "Upload",
        "History",
        "Canvas for drawing one digit",
        "Clear",
        "Right, it is 3",
        "It was 9",
    }
    assert wanted <= reached


def test_skip_link_skips_the_navigation(page: Page) -> None:
    page.goto("/upload/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("[data-files]")).to_be_focused()


def test_shared_page_is_visible_to_others_until_it_is_revoked(
    page: Page, new_context: Callable[..., BrowserContext]
) -> None:
    page.goto(save_a_three(page))
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("[data-share-link]").input_value()
    friend = new_context().new_page()
    friend.goto(link)
    expect(friend.locator(".verdict-digit")).to_have_text("3")
    assert friend.locator(".model-input-image").evaluate("picture => picture.naturalWidth") == 28
    assert friend.locator(".stored-image img").evaluate("picture => picture.naturalWidth") == 280
    expect(friend.get_by_role("button")).to_have_count(0)
    page.get_by_role("button", name="Stop sharing").click()
    assert friend.goto(link).status == 404


def test_deleted_submission_is_not_in_history(page: Page) -> None:
    page.goto(save_a_three(page))
    page.get_by_role("link", name="Delete…").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    assert list_submissions(page) == []


def test_times_are_in_the_time_zone_of_the_browser(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(timezone_id="Asia/Kolkata", locale="en-GB").new_page()
    page.goto(save_a_three(page))
    moment = page.locator("time").first
    shown = page.evaluate(
        """when => new Intl.DateTimeFormat("en-GB",
          { dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Kolkata" }).format(new Date(when))""",
        moment.get_attribute("datetime"),
    )
    expect(moment).to_have_text(shown)


def test_scripts_and_templates_format_percentages_alike(page: Page) -> None:
    page.goto("/")
    shares = [0, 1, 0.0004, 0.0005, 0.00049, 0.9995, 0.99949, 0.5, 0.123, 0.99403, 0.0123, 0.98765]
    # The name of the loaded module has a content hash.
    module = page.evaluate(
        "() => performance.getEntriesByType('resource').map(({ name }) => name).find((n) => n.includes('/answer.'))"
    )
    written = page.evaluate(
        "async ([module, shares]) => { const { percent } = await import(module); return shares.map(percent); }",
        [module, shares],
    )
    assert written == [percent(share) for share in shares]
