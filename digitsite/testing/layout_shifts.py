"""Cumulative layout shift of a page that loads over a slow connection, for tests and `bench.browser`.

Over a fast connection scripts and images arrive before the first paint, which hides the shifts they cause. They are
delayed here until the text of the page has been painted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Request, Route, ViewportSize

SCREENS: dict[str, ViewportSize] = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1280, "height": 800}}
# https://web.dev/articles/cls calls up to 0.1 good; pages of this site have no visible shift.
MAX_SHIFT = 0.01
DELAYED_TYPES = ("script", "image", "fetch", "xhr")
# Records layout shifts that no recent input of the user explains.
WATCH = """() => {
  const name = ({ node }) => {
    const element = node instanceof Element ? node : node?.parentElement;
    return element ? [element.localName, ...element.classList].join(".") : "(gone)";
  };
  window.shifts = [];
  window.noteShifts = (entries) => {
    for (const one of entries) {
      if (!one.hadRecentInput) window.shifts.push([one.value, one.sources.map(name).join(" ")]);
    }
  };
  window.shiftObserver = new PerformanceObserver((list) => window.noteShifts(list.getEntries()));
  window.shiftObserver.observe({ type: "layout-shift", buffered: true });
  new PerformanceObserver((list, observer) => {
    if (list.getEntriesByName("first-contentful-paint").length === 0) return;
    observer.disconnect();
    window.textIsPainted();
  }).observe({ type: "paint", buffered: true });
}"""
# Waits two frames, because the last change may not be painted yet.
MOVED = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  window.noteShifts(window.shiftObserver.takeRecords());
  resolve(window.shifts);
})))"""


@dataclass(frozen=True)
class Loaded:
    """Measurements of a page.

    Attributes:
        shift: Cumulative layout shift: the sum of share of the screen times share of the distance.
        moved: Each shift and the elements that it moved.
        sizes: Transfer size in bytes by address.
    """

    shift: float
    moved: tuple[str, ...]
    sizes: dict[str, int]


def load(context: BrowserContext, url: str) -> Loaded:
    """Load a page in a new tab, wait until all requests have ended, and close it."""
    page = context.new_page()
    delayed: list[Route] = []
    started: list[Request] = []
    ended: list[Request] = []
    is_painted = False

    def delay(route: Route) -> None:
        if is_painted or route.request.resource_type not in DELAYED_TYPES:
            route.continue_()
        else:
            delayed.append(route)

    def release() -> None:
        nonlocal is_painted
        is_painted = True
        while delayed:
            delayed.pop(0).continue_()

    page.on("request", lambda request: started.append(request))  # noqa: PLW0108 - Playwright marks its handlers
    page.on("requestfinished", lambda request: ended.append(request))  # noqa: PLW0108
    page.on("requestfailed", lambda request: ended.append(request))  # noqa: PLW0108
    page.expose_function("textIsPainted", release)
    page.route("**/*", delay)
    page.add_init_script(f"({WATCH})()")
    answer = page.goto(url)
    assert answer is not None
    assert (answer.status, page.url.endswith(url)) == (200, True), f"{url} led to {page.url}, {answer.status}"
    is_loaded = False
    while not is_loaded:
        started_count, ended_count = len(started), len(ended)
        moved = page.evaluate(MOVED)
        is_loaded = ended_count == started_count == len(started)
    sizes = {request.url: request.sizes()["responseBodySize"] for request in ended}
    page.close()
    return Loaded(sum(value for value, _ in moved), tuple(f"{value:.3f} {names}" for value, names in moved), sizes)
