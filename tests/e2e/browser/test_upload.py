"""Browser tests of the Upload page: several files, cropping, inputs and no scripts."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import BrowserContext, FilePayload, Locator, Page, Route, expect

from tests.image_samples import encoded, png

from .drawing import list_submissions, lose_first_response


def image_file(name: str, line: list[tuple[int, int]], side: int = 160) -> FilePayload:
    """Return an image of a dark line on white. Coordinates are from 0 to 100."""
    image = Image.new("L", (side, side), 255)
    ImageDraw.Draw(image).line([(x * side // 100, y * side // 100) for x, y in line], fill=0, width=side // 14)
    return {"name": name, "mimeType": "image/png", "buffer": png(image)}


LINE_7 = [(25, 20), (75, 20), (45, 85)]
LINE_1 = [(50, 15), (50, 85)]


def photo_of_two_digits() -> FilePayload:
    """Return a large image with a 1 in the left half and a 7 in the right half."""
    image = Image.new("L", (1600, 800), 220)
    pen = ImageDraw.Draw(image)
    pen.line([(400, 200), (400, 600)], fill=30, width=40)
    pen.line([(1050, 200), (1350, 200), (1180, 620)], fill=30, width=40, joint="curve")
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": encoded(image, "JPEG")}


def row(page: Page, name: str) -> Locator:
    return page.locator(".upload-row").filter(has_text=name)


def expect_digit(row: Locator, digit: str) -> None:
    expect(row.locator("[data-digit]")).to_have_text(digit)


def test_bad_file_does_not_affect_other_files_in_the_browser(page: Page) -> None:
    page.goto("/upload/")
    notes: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"not a picture"}
    page.locator("[data-files]").set_input_files(
        [image_file("seven.png", LINE_7), notes, image_file("one.png", LINE_1)]
    )
    expect_digit(row(page, "seven.png"), "7")
    expect_digit(row(page, "one.png"), "1")
    expect(row(page, "notes.png")).to_contain_text("not a picture")
    names = page.locator("[data-name]").all_text_contents()
    assert names == ["seven.png", "notes.png", "one.png"]
    assert {submission["prediction"]["digit"] for submission in list_submissions(page)} == {1, 7}
    row(page, "seven.png").get_by_role("link").click()
    expect(page.get_by_role("heading", name="A picture")).to_be_visible()


def test_crop_box_is_drawn_by_pointer(page: Page) -> None:
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(photo_of_two_digits())
    stage = page.locator("[data-stage]")
    expect(page.get_by_role("button", name="Read the whole picture")).to_be_visible()
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.95, steps=5)
    page.mouse.up()
    assert list_submissions(page) == []
    page.get_by_role("button", name="Read the box").click()
    expect_digit(row(page, "photo.jpg"), "7")
    left, _, right, _ = list_submissions(page)[0]["crop"]
    stored_width = list_submissions(page)[0]["width"]
    assert abs(left / stored_width - 0.55) < 0.02
    assert abs(right / stored_width - 0.95) < 0.02


def test_crop_box_is_drawn_by_keyboard(page: Page) -> None:
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(photo_of_two_digits())
    expect(page.get_by_role("button", name="Read the whole picture")).to_be_visible()
    page.locator("[data-stage]").focus()
    # From the middle to the left half, which has the 1.
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expect(page.locator("[data-crop-status]")).to_have_text("Box: 800 × 432 pixels")
    page.keyboard.press("Delete")
    expect(page.locator("[data-crop-status]")).to_contain_text("No box")
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Read the box").focus()
    page.keyboard.press("Enter")
    expect_digit(row(page, "photo.jpg"), "1")
    assert list_submissions(page)[0]["crop"][0] == 0


def test_images_can_be_dropped_and_pasted(page: Page) -> None:
    page.goto("/upload/")
    for event, name in (("drop", "dropped.png"), ("paste", "pasted.png")):
        page.evaluate(
            """([event, name, bytes]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
              const options = { bubbles: true, cancelable: true };
              const dispatched = event === "drop"
                ? new DragEvent("drop", { ...options, dataTransfer: data })
                : new ClipboardEvent("paste", { ...options, clipboardData: data });
              document.body.dispatchEvent(dispatched);
            }""",
            [event, name, list(image_file(name, LINE_1)["buffer"])],
        )
        expect_digit(row(page, name), "1")


def test_too_large_file_is_rejected_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    page.goto("/upload/")
    large = tmp_path / "large.png"
    large.write_bytes(bytes(11 * 1024 * 1024))
    sent = []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.url))
    page.locator("[data-files]").set_input_files(large)
    expect(row(page, "large.png")).to_contain_text("This file has 11\u00a0MB. We read pictures of up to 10\u00a0MB.")
    row(page, "large.png").get_by_role("button", name="Remove").click()
    expect(page.locator(".upload-row")).to_have_count(0)
    assert sent == []


def test_form_without_scripts_uploads_several_files(
    new_context: Callable[..., BrowserContext],
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files([image_file("seven.png", LINE_7), image_file("one.png", LINE_1)])
    page.get_by_role("button", name="Read them").click()
    expect(page.get_by_role("heading", name="What was read")).to_be_visible()
    assert page.locator(".tile-digit").all_text_contents() == ["7", "1"]
    page.locator(".tile").first.click()
    page.get_by_role("button", name="9", exact=True).click()
    expect(page.locator(".message")).to_contain_text("Noted: 9.")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".message")).to_have_text("Taken back.")


def test_upload_is_stored_once_when_retried_after_a_lost_response(page: Page) -> None:
    lost = lose_first_response(page)
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(image_file("seven.png", LINE_7))
    row(page, "seven.png").get_by_role("button", name="Try again").click()
    expect_digit(row(page, "seven.png"), "7")
    assert [submission["id"] for submission in list_submissions(page)] == [lost[0].json()["id"]]


def test_upload_is_retried_automatically_when_the_site_is_busy(page: Page) -> None:
    busy = [{"status": 503, "headers": {"Retry-After": "5"}, "body": ""}]

    def answer(route: Route) -> None:
        if route.request.method == "POST" and busy:
            route.fulfill(**busy.pop())
        else:
            route.continue_()

    page.route("**/api/v1/submissions", answer)
    page.goto("/upload/")
    page.clock.install()
    page.locator("[data-files]").set_input_files(image_file("seven.png", LINE_7))
    expect(row(page, "seven.png")).to_contain_text("Trying again in 5 seconds…")
    page.clock.fast_forward(5000)
    expect_digit(row(page, "seven.png"), "7")
    assert len(list_submissions(page)) == 1
