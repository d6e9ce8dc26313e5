"""Browser tests of the crop tool on the page of a submission."""

from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Page, expect

from tests.image_samples import encoded

from .drawing import list_submissions
from .test_upload import photo_of_two_digits, row


@pytest.fixture
def two_digits(page: Page) -> Page:
    """The page of a submission with a 1 in the left half and a 7 in the right half."""
    open_submission(page)
    return page


def open_submission(page: Page) -> None:
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(photo_of_two_digits())
    page.get_by_role("button", name="Read the whole picture").click()
    expect(page.locator("[data-box-hint]")).to_contain_text("Is the digit only a part of the picture?")
    row(page, "photo.jpg").get_by_role("link", name="Open").click()


def expect_read(page: Page, digit: str) -> None:
    expect(page.get_by_role("status").filter(has_text="Read again")).to_contain_text(f"Read again: {digit}. Sure.")
    expect(page.locator(".verdict-digit")).to_have_text(digit)


def test_box_is_drawn_by_pointer_and_removed_again(two_digits: Page) -> None:
    page = two_digits
    page.get_by_role("button", name="Try with a box").first.click()
    send = page.get_by_role("button", name="Read the box")
    expect(send).to_be_disabled()
    frame = page.get_by_role("group", name="Crop box").bounding_box()
    page.mouse.move(frame["x"] + frame["width"] * 0.55, frame["y"] + frame["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.95, frame["y"] + frame["height"] * 0.95, steps=5)
    page.mouse.up()
    send.click()
    expect_read(page, "7")
    submission = list_submissions(page)[0]
    left, _, right, _ = submission["crop"]
    assert abs(left / submission["width"] - 0.55) < 0.02
    assert abs(right / submission["width"] - 0.95) < 0.02
    expect(page.get_by_role("img", name="The box that was read")).to_be_visible()
    page.get_by_role("button", name="Read the whole picture").click()
    expect(page.get_by_role("status").filter(has_text="several digits").first).to_be_visible()
    assert list_submissions(page)[0]["crop"] is None


def test_box_is_moved_by_keyboard(two_digits: Page) -> None:
    page = two_digits
    page.get_by_role("button", name="Try with a box").first.press("Enter")
    stage = page.get_by_role("group", name="Crop box")
    expect(stage).to_be_focused()
    for key in ["ArrowLeft"] * 13 + ["Shift+ArrowLeft"] * 2:  # the left half, from the middle
        page.keyboard.press(key)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Read the box")).to_be_focused()
    page.keyboard.press("Enter")
    expect_read(page, "1")


def test_box_is_drawn_by_touch_on_a_phone(new_context: Callable[..., BrowserContext]) -> None:
    context = new_context(viewport={"width": 390, "height": 664}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_submission(page)
    page.goto(f"{page.url}#box")  # as the link on the Upload page does
    page.reload()
    stage = page.get_by_role("group", name="Crop box")
    frame = stage.bounding_box()
    touch = context.new_cdp_session(page)
    for kind, x, y in [("touchStart", 0.55, 0.1), ("touchMove", 0.8, 0.6), ("touchMove", 0.95, 0.95)]:
        point = {"x": frame["x"] + frame["width"] * x, "y": frame["y"] + frame["height"] * y}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.get_by_text("With the keyboard")).to_be_hidden()
    page.get_by_role("button", name="Read the box").tap()
    expect_read(page, "7")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_picture_without_ink_is_offered_a_box(page: Page) -> None:
    page.goto("/upload/")
    blank = photo_of_two_digits() | {"buffer": encoded(Image.new("L", (1600, 800), 220), "JPEG")}
    page.locator("[data-files]").set_input_files(blank)
    page.get_by_role("button", name="Read the whole picture").click()
    expect(row(page, "photo.jpg")).to_contain_text("Draw a box round it.")
    expect(page.locator("[data-stage]")).to_be_visible()
    expect(page.get_by_role("button", name="Read the whole picture")).to_be_enabled()
