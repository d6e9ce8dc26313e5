"""Browser tests of the Draw page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from digitsite.testing.site import Site

from .drawing import (
    STROKE_1,
    STROKE_3,
    STROKE_7,
    count_ink,
    draw,
    expect_answer,
    expect_ink,
    has_model_input,
    list_submissions,
    lose_first_response,
)


def test_drawing_is_predicted_live_and_saved_by_enter(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    draw(page, STROKE_3)
    expect_answer(page, "3")
    expect(page.locator("[data-sentence]")).to_have_text("Sure")
    expect(page.locator("[data-bar='3'] .bar-share")).to_contain_text("%")
    assert has_model_input(page)
    assert list_submissions(page) == []
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    (submission,) = list_submissions(page)
    assert (submission["source"], submission["prediction"]["digit"], submission["may_train"]) == ("canvas", 3, True)
    page.goto("/history/")
    expect(page.locator(".tile-digit")).to_have_text("3")


def test_undo_redo_and_clear_by_button_and_by_key(page: Page) -> None:
    page.goto("/")
    draw(page, STROKE_1)
    one_stroke = count_ink(page)
    draw(page, [(0.2, 0.5), (0.8, 0.5)])
    two_strokes = count_ink(page)
    assert two_strokes > one_stroke > 0

    steps = [
        *(("Control+z", one_stroke), ("Control+y", two_strokes), ("Control+z", one_stroke)),
        *(("Control+Shift+z", two_strokes), ("Escape", 0), ("Control+z", two_strokes)),
    ]
    for key, expected in steps:
        page.keyboard.press(key)
        expect_ink(page, expected)
    for name, expected in (("Undo", one_stroke), ("Redo", two_strokes), ("Clear", 0), ("Undo", two_strokes)):
        page.get_by_role("button", name=name).click()
        expect_ink(page, expected)
    page.keyboard.press("Escape")
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_be_disabled()


def test_repeated_label_presses_store_one_submission(page: Page) -> None:
    page.goto("/")
    draw(page, STROKE_7)
    expect_answer(page, "7")
    page.locator("[data-value='2']").dblclick()
    expect(page.get_by_text("Saved as a 2.")).to_be_visible()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Right, it is 7").click()
    expect(page.get_by_text("Saved as a 7.")).to_be_visible()
    (submission,) = list_submissions(page)
    assert (submission["truth"], submission["truth_state"]) == ("7", "provisional")
    labels = page.request.get(f"/api/v1/submissions/{submission['id']}/labels").json()
    labels = labels["results"] if isinstance(labels, dict) else labels
    assert sorted((label["value"], label["reason"]) for label in labels) == [("2", "own_page"), ("7", "own_page")]


def test_another_drawing_is_another_submission(page: Page) -> None:
    page.goto("/")
    for line, digit in ((STROKE_3, "3"), (STROKE_7, "7")):
        draw(page, line)
        expect_answer(page, digit)
        page.get_by_role("button", name="Right, it is").click()
        expect(page.get_by_text(f"Saved as a {digit}.")).to_be_visible()
        page.get_by_role("button", name="draw another").click()
        expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    assert [submission["truth"] for submission in list_submissions(page)] == ["7", "3"]


def test_reload_keeps_the_drawing_and_its_saved_state(page: Page) -> None:
    page.goto("/")
    draw(page, STROKE_3)
    expect_answer(page, "3")
    before = count_ink(page)
    page.reload()
    expect_answer(page, "3")
    assert count_ink(page) == before
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.reload()
    expect_answer(page, "3")
    expect(page.get_by_role("button", name="Saved")).to_be_disabled()
    page.keyboard.press("Enter")
    assert len(list_submissions(page)) == 1


def test_new_visit_starts_with_an_empty_canvas_after_saving(page: Page) -> None:
    page.goto("/")
    draw(page, STROKE_3)
    expect_answer(page, "3")
    page.goto("/history/")
    page.goto("/")
    expect_answer(page, "3")  # not saved yet, so nothing is lost
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.goto("/history/")
    page.goto("/")
    expect(page.get_by_text("Nothing drawn yet")).to_be_visible()
    assert count_ink(page) == 0


def test_drawing_can_be_saved_while_the_worker_is_unavailable(page: Page, running_site: Site) -> None:
    page.goto("/")
    draw(page, STROKE_1)
    expect_answer(page, "1")
    page.keyboard.press("Escape")
    running_site.worker.freeze()
    try:
        draw(page, STROKE_3)
        expect(page.get_by_text("Reading…")).to_be_visible()
        expect(page.get_by_text("No answer right now")).to_be_visible()
        assert count_ink(page) > 0
        assert not has_model_input(page)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Saved. The answer follows")).to_be_visible()
    finally:
        running_site.worker.thaw()
    expect_answer(page, "3")
    (submission,) = list_submissions(page)
    assert submission["prediction"]["digit"] == 3


def test_opting_out_is_sent_and_remembered(page: Page) -> None:
    page.goto("/")
    page.get_by_label("It may help this site to learn").uncheck()
    draw(page, STROKE_1)
    expect_answer(page, "1")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert list_submissions(page)[0]["may_train"] is False
    page.goto("/upload/")
    expect(page.get_by_label("It may help this site to learn")).not_to_be_checked()


def test_drawing_by_touch_does_not_scroll_the_page(new_context: Callable[..., BrowserContext]) -> None:
    context = new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True, device_scale_factor=3)
    page = context.new_page()
    page.goto("/")
    box = page.locator("[data-canvas]").bounding_box()
    assert box["width"] == pytest.approx(box["height"], abs=1)
    assert box["width"] >= 0.85 * 360
    assert box["y"] + box["height"] < 640
    assert page.locator("[data-canvas]").evaluate("canvas => canvas.width") == pytest.approx(3 * box["width"], abs=3)
    finger = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y} for x, y in points]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", (0.5, 0.8))
    for step in range(1, 13):
        touch("touchMove", (0.5, 0.8 - step * 0.05))
    touch("touchEnd")
    expect_answer(page, "1")
    assert page.evaluate("scrollY") == 0


def test_page_without_scripts_links_to_upload(new_context: Callable[..., BrowserContext]) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/")
    # Chromium does not render <noscript> when Playwright disables scripts.
    page.get_by_role("link", name="Upload a picture").last.click()
    expect(page.get_by_role("heading", name="Upload")).to_be_visible()


def test_drawing_deleted_on_another_tab_can_be_saved_again(page: Page) -> None:
    page.goto("/")
    draw(page, STROKE_3)
    expect_answer(page, "3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    other_tab = page.context.new_page()
    other_tab.goto(f"{list_submissions(page)[0]['page']}delete/")
    other_tab.get_by_role("button", name="Delete").click()
    expect(other_tab.get_by_text("Nothing here yet")).to_be_visible()
    page.locator("[data-value='8']").click()
    expect(page.get_by_text("has been deleted meanwhile")).to_be_visible()
    page.locator("[data-value='8']").click()
    expect(page.get_by_text("Saved as a 8.")).to_be_visible()
    assert [submission["truth"] for submission in list_submissions(page)] == ["8"]


@pytest.mark.parametrize("reloads", [False, True])
def test_saving_again_after_a_lost_response_stores_once(page: Page, reloads: bool) -> None:
    lost = lose_first_response(page)
    page.goto("/")
    draw(page, STROKE_3)
    expect_answer(page, "3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your drawing is still here.")).to_be_visible()
    assert len(list_submissions(page)) == 1
    if reloads:
        page.reload()
        expect_answer(page, "3")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert [submission["id"] for submission in list_submissions(page)] == [lost[0].json()["id"]]


def test_pen_widths_are_stored(page: Page) -> None:
    page.goto("/")
    for name, line in (("Thick", STROKE_1), ("Thin", [(0.7, 0.2), (0.7, 0.8)])):
        page.get_by_role("radio", name=name).check(force=True)
        draw(page, line)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved.")).to_be_visible()
    (submission,) = list_submissions(page)
    assert page.request.get(submission["url"]).json()["pen"] == [30, 12]
