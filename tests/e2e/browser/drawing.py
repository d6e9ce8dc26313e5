"""Drawing on the canvas in the browser tests."""

from playwright.sync_api import APIResponse, Page, Route, expect

Line = list[tuple[float, float]]

# Coordinates are shares of the canvas.
STROKE_3: Line = [
    *((0.32, 0.28), (0.40, 0.21), (0.50, 0.20), (0.60, 0.25), (0.62, 0.34), (0.55, 0.43), (0.45, 0.47)),
    *((0.57, 0.50), (0.65, 0.60), (0.62, 0.72), (0.52, 0.79), (0.40, 0.78), (0.32, 0.72)),
]
STROKE_7: Line = [(0.30, 0.25), (0.70, 0.24), (0.62, 0.40), (0.52, 0.60), (0.45, 0.82)]
STROKE_1: Line = [(0.5, 0.2), (0.5, 0.8)]


def draw(page: Page, line: Line) -> None:
    """Draw a stroke with the mouse."""
    page.locator("[data-canvas]").scroll_into_view_if_needed()
    box = page.locator("[data-canvas]").bounding_box()
    points = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in line]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()


def expect_answer(page: Page, digit: str) -> None:
    expect(page.locator("[data-digit]")).to_have_text(digit)


COUNT_INK = """() => {
  const canvas = document.querySelector("[data-canvas]");
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((value, index) => index % 4 === 0 && value > 128).length;
}"""


def count_ink(page: Page) -> int:
    """Count the white pixels of the canvas."""
    return page.evaluate(COUNT_INK)


def expect_ink(page: Page, pixels: int) -> None:
    page.wait_for_function(f"pixels => ({COUNT_INK})() === pixels", arg=pixels)


def has_model_input(page: Page) -> bool:
    """Return True if the preview of the model's input is not blank."""
    return page.locator("[data-seen]").evaluate(
        "seen => seen.getContext('2d').getImageData(0, 0, 28, 28).data.some((v, i) => i % 4 === 0 && v > 200)"
    )


def list_submissions(page: Page) -> list[dict]:
    """Return the submissions of this visitor from the API."""
    return page.request.get("/api/v1/submissions").json()["results"]


def lose_first_response(page: Page) -> list[APIResponse]:
    """Drop the response of the first submission, and append it to the returned list."""
    lost: list[APIResponse] = []

    def lose(route: Route) -> None:
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch())
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/submissions", lose)
    return lost
