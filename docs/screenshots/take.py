"""Take the screenshots of the README from a temporary site: `.venv/bin/python -m docs.screenshots.take`."""

import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from digitsite.testing import chromium
from digitsite.testing.supervised import Supervised, a_three
from tests.e2e.browser.drawing import STROKE_7, draw, expect_answer

FOLDER = Path(__file__).parent
THREE = [(x / 280, y / 280) for x, y in zip(*a_three(), strict=True)]
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


def main() -> None:
    """Take one screenshot of a desktop and one of a phone."""
    path = chromium.executable()
    with tempfile.TemporaryDirectory() as folder, Supervised(Path(folder, "data"), TRAINER="0") as site:
        site.wait_until_it_answers()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
            take(browser.new_page(base_url=site.url, viewport=DESK), THREE, "3", "draw.png")
            phone = browser.new_page(
                base_url=site.url, viewport=PHONE, device_scale_factor=2, color_scheme="dark", has_touch=True
            )
            take(phone, STROKE_7, "7", "draw-phone.png")
            browser.close()


def take(page: Page, line: list[tuple[float, float]], digit: str, name: str) -> None:
    """Draw a digit, wait for its prediction and save the page as an image."""
    page.goto("/")
    draw(page, line)
    expect_answer(page, digit)
    expect(page.locator("[data-sentence]")).to_have_text("Sure")
    page.wait_for_timeout(600)  # the animation of the bars has ended
    page.screenshot(path=FOLDER / name)


if __name__ == "__main__":
    main()
