"""The Upload page in a real browser: several at once, cropping, every way in, and without scripts."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw
from playwright.sync_api import BrowserContext, FilePayload, Locator, Page, Route, expect

from tests.image_samples import encoded, png

from .drawing import lose_the_first_answer, stored


def picture(name: str, line: list[tuple[int, int]], side: int = 160) -> FilePayload:
    """A dark digit on white paper, drawn on a side of 100."""
    image = Image.new("L", (side, side), 255)
    ImageDraw.Draw(image).line([(x * side // 100, y * side // 100) for x, y in line], fill=0, width=side // 14)
    return {"name": name, "mimeType": "image/png", "buffer": png(image)}


SEVEN = [(25, 20), (75, 20), (45, 85)]
ONE = [(50, 15), (50, 85)]


def photo_of_two() -> FilePayload:
    """A large picture with a 1 in its left half and a 7 in its right half."""
    image = Image.new("L", (1600, 800), 220)
    pen = ImageDraw.Draw(image)
    pen.line([(400, 200), (400, 600)], fill=30, width=40)
    pen.line([(1050, 200), (1350, 200), (1180, 620)], fill=30, width=40, joint="curve")
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": encoded(image, "JPEG")}


def row(page: Page, name: str) -> Locator:
    return page.locator(".upload-row").filter(has_text=name)


def expect_digit(row: Locator, digit: str) -> None:
    expect(row.locator("[data-digit]")).to_have_text(digit)


def test_several_at_once_and_one_bad_file_spoils_no_other(page: Page) -> None:
    page.goto("/upload/")
    notes: FilePayload = {"name": "notes.png", "mimeType": "image/png", "buffer": b"not a picture"}
    page.locator("[data-files]").set_input_files([picture("seven.png", SEVEN), notes, picture("one.png", ONE)])
    expect_digit(row(page, "seven.png"), "7")
    expect_digit(row(page, "one.png"), "1")
    expect(row(page, "notes.png")).to_contain_text("not a picture")
    names = page.locator("[data-name]").all_text_contents()
    assert names == ["seven.png", "notes.png", "one.png"]
    assert {one["prediction"]["digit"] for one in stored(page)} == {1, 7}
    row(page, "seven.png").get_by_role("link").click()
    expect(page.get_by_role("heading", name="A picture")).to_be_visible()


def test_a_box_is_drawn_on_a_photo_by_pointer_before_it_is_sent(page: Page) -> None:
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(photo_of_two())
    stage = page.locator("[data-stage]")
    expect(page.get_by_role("button", name="Read the whole picture")).to_be_visible()
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + box["height"] * 0.95, steps=5)
    page.mouse.up()
    assert stored(page) == []
    page.get_by_role("button", name="Read the box").click()
    expect_digit(row(page, "photo.jpg"), "7")
    left, _, right, _ = stored(page)[0]["crop"]
    kept = stored(page)[0]["width"]
    assert abs(left / kept - 0.55) < 0.02
    assert abs(right / kept - 0.95) < 0.02


def test_a_box_is_drawn_on_a_photo_by_keyboard_alone(page: Page) -> None:
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(photo_of_two())
    expect(page.get_by_role("button", name="Read the whole picture")).to_be_visible()
    page.locator("[data-stage]").focus()
    # From the middle of the picture to its left half, which holds the 1.
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
    assert stored(page)[0]["crop"][0] == 0


def test_pictures_can_be_dropped_and_pasted(page: Page) -> None:
    page.goto("/upload/")
    for event, name in (("drop", "dropped.png"), ("paste", "pasted.png")):
        page.evaluate(
            """([event, name, bytes]) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
              const options = { bubbles: true, cancelable: true };
              const made = event === "drop"
                ? new DragEvent("drop", { ...options, dataTransfer: data })
                : new ClipboardEvent("paste", { ...options, clipboardData: data });
              document.body.dispatchEvent(made);
            }""",
            [event, name, list(picture(name, ONE)["buffer"])],
        )
        expect_digit(row(page, name), "1")


def test_a_file_over_the_limit_is_refused_before_it_is_sent(page: Page, tmp_path: Path) -> None:
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


def test_without_scripts_one_form_takes_them_all_and_shows_the_answers(
    new_context: Callable[..., BrowserContext],
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files([picture("seven.png", SEVEN), picture("one.png", ONE)])
    page.get_by_role("button", name="Read them").click()
    expect(page.get_by_role("heading", name="What was read")).to_be_visible()
    assert page.locator(".tile-digit").all_text_contents() == ["7", "1"]
    page.locator(".tile").first.click()
    page.get_by_role("button", name="9", exact=True).click()
    expect(page.locator(".message")).to_contain_text("Noted: 9.")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator(".message")).to_have_text("Taken back.")


def test_a_picture_whose_answer_was_lost_is_stored_once_when_it_is_tried_again(page: Page) -> None:
    lost = lose_the_first_answer(page)
    page.goto("/upload/")
    page.locator("[data-files]").set_input_files(picture("seven.png", SEVEN))
    row(page, "seven.png").get_by_role("button", name="Try again").click()
    expect_digit(row(page, "seven.png"), "7")
    assert [one["id"] for one in stored(page)] == [lost[0].json()["id"]]


def test_a_picture_that_finds_the_site_busy_is_sent_again_without_a_press(page: Page) -> None:
    busy = [{"status": 503, "headers": {"Retry-After": "5"}, "body": ""}]

    def answer(route: Route) -> None:
        if route.request.method == "POST" and busy:
            route.fulfill(**busy.pop())
        else:
            route.continue_()

    page.route("**/api/v1/submissions", answer)
    page.goto("/upload/")
    page.clock.install()
    page.locator("[data-files]").set_input_files(picture("seven.png", SEVEN))
    expect(row(page, "seven.png")).to_contain_text("Trying again in 5 seconds…")
    page.clock.fast_forward(5000)
    expect_digit(row(page, "seven.png"), "7")
    assert len(stored(page)) == 1
