"""Actions of a user on a new site."""

from playwright.sync_api import expect, sync_playwright

from digitsite.testing import chromium
from tests.e2e.browser.drawing import STROKE_3, draw, expect_answer


def draw_a_three_and_find_it(url: str) -> None:
    """In a real Chromium: draw a 3 with the mouse, see 3, save it, and find it in History, also after a reload."""
    path = chromium.executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.ARGUMENTS)
        page = browser.new_page(base_url=url)
        page.goto("/")
        draw(page, STROKE_3)
        expect_answer(page, "3")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Saved.")).to_be_visible()
        page.goto("/history/")
        expect(page.locator(".tile-digit")).to_have_text("3")
        page.reload()
        expect(page.locator(".tile-digit")).to_have_text("3")
        browser.close()
