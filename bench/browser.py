"""What a person waits for: the live answer while drawing, and pages; in a real Chromium, on a site of its own.

    python -m bench.browser

Prints the time from the last point of a stroke to the painted answer and where it goes; for each page how much of ours
it loads and how far its layout shifts, on a new site and on one in use, on a phone and on a desktop. The server's time
for pages on a full site is measured by `bench.growth`.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench import pictures, serving
from digitsite.testing import chromium, layout_shifts
from digitsite.testing.supervised import Supervised
from ml.preprocessing import FRAME

PROMISED_MILLISECONDS, PROMISED_KILOBYTES = 60, 100
PAGES = (
    *("/", "/upload/", "/history/", "/review/", "/review/grid/", "/review/figures/", "/history/matrix/"),
    *("/models/", "/models/1/", "/status/", "/account/people/", "/api/v1/docs/"),
)
SUBMISSION = "/s/…/"
# Swagger UI, and what people sent.
NOT_OURS = ("/drf_spectacular_sidecar/", "/api/v1/submissions/")
STORED = 70  # more than a page of Review's grid
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawings", type=int, default=40)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.ARGUMENTS)
        with serving.started(None, Path(name) / "data", WORKER_IDLE_SECONDS="8") as site:
            stages = previews(browser, site.url, asked.drawings)
            times = [sum(one) for one in stages]
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


def show_pages(browser: Browser, site: Supervised) -> None:
    """Every page of a site that holds nothing, then the same when some submissions wait for a reviewer."""
    cookies, url = signed_in(browser, site.sign_in_link), site.url.rstrip("/")
    columns = {f"new, {screen}": loaded(browser, cookies, url, PAGES, screen) for screen in layout_shifts.SCREENS}
    addresses = [*PAGES, stored(site)]
    used = {f"used, {screen}": loaded(browser, cookies, url, addresses, screen) for screen in layout_shifts.SCREENS}
    columns |= used
    heads = "".join(f"{name:>15}" for name in columns)
    print(f"\n{'page':18}{'ours, KB':>9}{heads}   (promised: {PROMISED_KILOBYTES} KB, no shift)")
    for place, address in enumerate(addresses):
        ours = max(kilobytes_of_ours(column[place]) for column in used.values())
        figures = (f"{column[place].shift:15.4f}" if place < len(column) else f"{'':15}" for column in columns.values())
        print(f"{address if address in PAGES else SUBMISSION:18}{ours:9.1f}{''.join(figures)}")


def loaded(
    browser: Browser, cookies: list[dict], url: str, addresses: Sequence[str], screen: str
) -> list[layout_shifts.Loaded]:
    context = browser.new_context(viewport=layout_shifts.SCREENS[screen])
    context.add_cookies(cookies)
    pages = [layout_shifts.load(context, f"{url}{address}") for address in addresses]
    context.close()
    return pages


def stored(site: Supervised) -> str:
    """Store some drawings; the address of the last one's page."""
    with site.client() as client:
        for strokes in pictures.drawings(STORED):
            answer = client.post("api/v1/submissions", json={"strokes": strokes, "frame": FRAME}).raise_for_status()
    return f"/s/{answer.json()['id']}/"


def kilobytes_of_ours(page: layout_shifts.Loaded) -> float:
    """What crosses the wire for a page with nothing cached."""
    return sum(size for url, size in page.sizes.items() if not any(part in url for part in NOT_OURS)) / 1024


if __name__ == "__main__":
    sys.exit(main())
