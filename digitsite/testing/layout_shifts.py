"""How far the parts of a page move while it loads, as on a slow line: for tests and for `bench.browser`.

On a quick line scripts and pictures are there before the browser paints anything, and hide what they move. So they are
held back here until the page's text has been painted.
"""

from __future__ import annotations

from dataclasses import dataclass

from playwright.sync_api import BrowserContext, Request, Route

SCREENS = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1280, "height": 800}}
# https://web.dev/articles/cls calls up to 0.1 good; here nothing is to move that anybody would see.
MOST = 0.01
HELD = ("script", "image", "fetch", "xhr")
# Notes what moves by itself, and how far; what a person has just pressed may move things.
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
# After two more frames, for the last change may not be painted yet.
MOVED = """() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
  window.noteShifts(window.shiftObserver.takeRecords());
  resolve(window.shifts);
})))"""


@dataclass(frozen=True)
class Loaded:
    """One page that was loaded.

    Attributes:
        shift: how far its parts moved, as browsers count it: share of the screen times share of the way.
        moved: each movement and the elements that it moved.
        sizes: bytes on the wire, by address.
    """

    shift: float
    moved: tuple[str, ...]
    sizes: dict[str, int]


def load(context: BrowserContext, url: str) -> Loaded:
    """Open a page in a tab of its own, wait until nothing is loaded any more, and close it."""
    page = context.new_page()
    held: list[Route] = []
    begun: list[Request] = []
    ended: list[Request] = []
    is_painted = False

    def hold(route: Route) -> None:
        if is_painted or route.request.resource_type not in HELD:
            route.continue_()
        else:
            held.append(route)

    def let_go() -> None:
        nonlocal is_painted
        is_painted = True
        while held:
            held.pop(0).continue_()

    page.on("request", lambda request: begun.append(request))  # noqa: PLW0108 - marks what it is given
    page.on("requestfinished", lambda request: ended.append(request))  # noqa: PLW0108
    page.on("requestfailed", lambda request: ended.append(request))  # noqa: PLW0108
    page.expose_function("textIsPainted", let_go)
    page.route("**/*", hold)
    page.add_init_script(f"({WATCH})()")
    answer = page.goto(url)
    assert (answer.status, page.url.endswith(url)) == (200, True), f"{url} led to {page.url}, {answer.status}"
    is_over = False
    while not is_over:
        so_far, are_ended = len(begun), len(ended)
        moved = page.evaluate(MOVED)
        is_over = are_ended == so_far == len(begun)
    sizes = {request.url: request.sizes()["responseBodySize"] for request in ended}
    page.close()
    return Loaded(sum(value for value, _ in moved), tuple(f"{value:.3f} {names}" for value, names in moved), sizes)
