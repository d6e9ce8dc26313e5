"""What a person waits for: the live answer while drawing, and pages; in a real Chromium, on a site of its own.

    python -m bench.browser

Prints the time from the last point of a stroke to the painted answer and where it goes, for each page how much of ours
it loads and how far its layout shifts. The server's time for pages on a full site is measured by `bench.growth`.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench import pictures, serving
from tests.browser import chromium

PROMISED_MILLISECONDS, PROMISED_KILOBYTES = 60, 100
PAGES = ("/", "/upload/", "/history/", "/review/", "/models/", "/api/v1/docs/")
STAGES = ("until the request leaves", "until the answer has come", "until it is painted")
# Resolves with the milliseconds from the end of the stroke to the frame that shows the answer to it, by STAGES.
WAIT_FOR_ANSWER = """() => {
  window.answered = new Promise((resolve) => {
    const digit = document.querySelector("[data-digit]");
    let ended = null;
    addEventListener("pointerup", () => { ended = performance.now(); }, { capture: true, once: true });
    const bars = document.querySelector("[data-bar='0'] .bar-share");
    new MutationObserver((_, observer) => {
      if (ended === null || bars.textContent === "") return;
      observer.disconnect();
      requestAnimationFrame(() => setTimeout(() => {
        const painted = performance.now();
        const sent = performance.getEntriesByType("resource").at(-1);
        resolve([sent.requestStart - ended, sent.responseEnd - sent.requestStart, painted - sent.responseEnd]);
      }, 0));
    }).observe(bars, { childList: true, characterData: true, subtree: true });
  });
}"""
SHIFTS = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    resolve(list.getEntries().filter((one) => !one.hadRecentInput).reduce((sum, one) => sum + one.value, 0));
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(0), 300);
})"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.ARGUMENTS)
        with serving.started(None, Path(name) / "data", SHIFT_IDLE_SECONDS="8") as site:
            stages = previews(browser, site.url, asked.drawings)
            times = [sum(one) for one in stages]
            quartiles = statistics.quantiles(times, n=20)
            print(
                f"last point to painted answer: median {statistics.median(times):.0f} ms, 95 of 100 within "
                f"{quartiles[18]:.0f} ms ({len(times)} drawings; promised {PROMISED_MILLISECONDS})"
            )
            for stage, column in zip(STAGES, zip(*stages, strict=True), strict=True):
                print(f"  {stage:28}{statistics.median(column):5.1f} ms")
            print(f"\n{'page':12}{'ours, KB':>10}{'shift':>8}   (promised: {PROMISED_KILOBYTES} KB, 0)")
            operator = signed_in(browser, site.sign_in_link)
            for path in PAGES:
                kilobytes, shift = weight(browser, operator, f"{site.url.rstrip('/')}{path}")
                print(f"{path:12}{kilobytes:10.1f}{shift:8.3f}")
        browser.close()
    return 0


def previews(browser: Browser, url: str, count: int) -> list[list[float]]:
    """Milliseconds from lifting the pen to the answer on the screen, by STAGES, for each drawing."""
    page = browser.new_page()
    page.goto(url)
    times = []
    for strokes in pictures.drawings(count + 3):
        page.keyboard.press("Escape")
        page.wait_for_function("() => document.querySelector(\"[data-bar='0'] .bar-share\").textContent === ''")
        page.evaluate(WAIT_FOR_ANSWER)
        draw(page, strokes[:1])
        times.append(page.evaluate("() => window.answered"))
    page.close()
    return times[3:]  # the first ones warm the worker


def draw(page: Page, strokes: list[list[list[float]]]) -> None:
    box = page.locator("[data-canvas]").bounding_box()
    for stroke in strokes:
        points = [
            (box["x"] + box["width"] * x / 280, box["y"] + box["height"] * y / 280)
            for x, y in zip(*stroke[:2], strict=True)
        ]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def signed_in(browser: Browser, link: str) -> list[dict]:
    """The cookies of the operator, who may see every page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("main").get_by_role("button").first.click()
    page.wait_for_load_state()
    cookies = context.cookies()
    context.close()
    return cookies


def weight(browser: Browser, cookies: list[dict], url: str) -> tuple[float, float]:
    """Kilobytes that cross the wire for a page with nothing cached, and how far its layout shifts."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_cookies(cookies)
    page = context.new_page()
    sizes = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page.goto(url, wait_until="networkidle")
    shift = page.evaluate(SHIFTS)
    context.close()
    return sum(sizes) / 1024, shift


if __name__ == "__main__":
    sys.exit(main())
