"""Latency and page weight in a real Chromium: the live prediction while drawing, and each page.

    python -m bench.browser

Prints the time from the last point of a stroke to the painted prediction, by stage; and for each page the kilobytes of
the site's own files and its layout shift, on an empty site and on one with submissions, on a phone and on a desktop.
`bench.growth` measures the server's time for pages of a large site.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import Browser, Cookie, Page, sync_playwright

from bench import serving
from bench.support import request_bodies
from digitsite.testing import chromium, layout_shifts
from digitsite.testing.supervised import Supervised
from ml.preprocessing import FRAME

PROMISED_MILLISECONDS, PROMISED_KILOBYTES = 60, 100
PAGES = (
    *("/", "/upload/", "/history/", "/review/", "/review/grid/", "/review/figures/", "/history/matrix/"),
    *("/models/", "/models/1/", "/status/", "/account/people/", "/api/v1/docs/"),
)
SUBMISSION = "/s/…/"
# Swagger UI and submitted images.
FOREIGN_PATHS = ("/drf_spectacular_sidecar/", "/api/v1/submissions/")
STORED = 70  # more than a page of Review's grid
STAGES = ("until the request leaves", "until the answer has come", "until it is painted")
# Resolves with the milliseconds from the end of the stroke to the frame that shows its prediction, by STAGES.
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


def main() -> int:
    """Measure, print both tables and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.ARGUMENTS)
        with serving.start_site(None, Path(name) / "data") as site:
            stages = previews(browser, site.url, options.drawings)
            times = [sum(drawing) for drawing in stages]
            quartiles = statistics.quantiles(times, n=20)
            print(
                f"last point to painted answer: median {statistics.median(times):.0f} ms, 95 of 100 within "
                f"{quartiles[18]:.0f} ms ({len(times)} drawings; promised {PROMISED_MILLISECONDS})"
            )
            for stage, column in zip(STAGES, zip(*stages, strict=True), strict=True):
                print(f"  {stage:28}{statistics.median(column):5.1f} ms")
            show_pages(browser, site)
        browser.close()
    return 0


def previews(browser: Browser, url: str, count: int) -> list[list[float]]:
    """Return the milliseconds from lifting the pen to the prediction on the screen, by STAGES, for each drawing."""
    page = browser.new_page()
    page.goto(url)
    times = []
    for strokes in request_bodies.drawings(count + 3):
        page.keyboard.press("Escape")
        page.wait_for_function("() => document.querySelector(\"[data-bar='0'] .bar-share\").textContent === ''")
        page.evaluate(WAIT_FOR_ANSWER)
        draw(page, strokes[:1])
        times.append(page.evaluate("() => window.answered"))
    page.close()
    return times[3:]  # the first three warm up the worker


def draw(page: Page, strokes: list[list[list[float]]]) -> None:
    """Draw strokes with the mouse."""
    box = page.locator("[data-canvas]").bounding_box()
    if box is None:
        raise RuntimeError("The canvas is not visible.")
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


def operator_cookies(browser: Browser, link: str) -> list[Cookie]:
    """Sign in as the operator, who may see every page, and return the cookies."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("main").get_by_role("button").first.click()
    page.wait_for_load_state()
    cookies = context.cookies()
    context.close()
    return cookies


def show_pages(browser: Browser, site: Supervised) -> None:
    """Print page weight and layout shift of every page, on an empty site and with submissions that wait for review."""
    cookies, url = operator_cookies(browser, site.sign_in_link), site.url.rstrip("/")
    columns = {f"new, {screen}": load_pages(browser, cookies, url, PAGES, screen) for screen in layout_shifts.SCREENS}
    addresses = [*PAGES, store_drawings(site)]
    used = {f"used, {screen}": load_pages(browser, cookies, url, addresses, screen) for screen in layout_shifts.SCREENS}
    columns |= used
    heads = "".join(f"{name:>15}" for name in columns)
    print(f"\n{'page':18}{'KB':>9}{heads}   (promised: {PROMISED_KILOBYTES} KB, no shift)")
    for index, address in enumerate(addresses):
        size = max(own_kilobytes(column[index]) for column in used.values())
        figures = (f"{column[index].shift:15.4f}" if index < len(column) else f"{'':15}" for column in columns.values())
        print(f"{address if address in PAGES else SUBMISSION:18}{size:9.1f}{''.join(figures)}")


def load_pages(
    browser: Browser, cookies: list[Cookie], url: str, addresses: Sequence[str], screen: str
) -> list[layout_shifts.Loaded]:
    """Load each address in a new browser context and return the measurements."""
    context = browser.new_context(viewport=layout_shifts.SCREENS[screen])
    context.add_cookies(cast("Any", cookies))  # Playwright's types do not accept what its cookies() returns
    pages = [layout_shifts.load(context, f"{url}{address}") for address in addresses]
    context.close()
    return pages


def store_drawings(site: Supervised) -> str:
    """Store drawings and return the path of the last one's page."""
    with site.client() as client:
        for strokes in request_bodies.drawings(STORED):
            answer = client.post("api/v1/submissions", json={"strokes": strokes, "frame": FRAME}).raise_for_status()
    return f"/s/{answer.json()['id']}/"


def own_kilobytes(page: layout_shifts.Loaded) -> float:
    """Return the transfer size of the site's own files for a page with an empty cache."""
    return sum(size for url, size in page.sizes.items() if not any(part in url for part in FOREIGN_PATHS)) / 1024


if __name__ == "__main__":
    sys.exit(main())
