"""A report on screen: opened from file:// with the network refused, watched, brought to a state."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from attnpanel.explorer.address import ADDRESS
from attnpanel.explorer.state import ExplorerState
from attnpanel.trace import Trace
from tests.browser.conftest import Problems
from tests.browser.reading import WATCH, settle

# The kernel that computes here, in a page or a Worker, once there is one.
KERNEL_MARKS = """new Promise((resolve) => {
  const told = (list) => resolve(list.getEntries().map(({ name }) => name))
  new PerformanceObserver(told).observe({ type: "mark", buffered: true })
})"""
# The driver has answered what the page asks it, and has said in the address where the page is.
LIVE = """
window.Bokeh?.documents?.[0]?.is_idle && location.href.includes("#")
  && document.documentElement.style.colorScheme !== ""
"""


@dataclasses.dataclass
class Opened:
    """A report on screen, and what it was made of."""

    page: Page
    trace: Trace
    path: Path
    problems: Problems
    requests: list[str]

    def elsewhere(self) -> list[str]:
        """Return what was asked for beyond the file itself and what lies in it."""
        own, inside = self.path.as_uri(), ("blob:", "data:")
        return [
            url for url in self.requests if url.split("#")[0] != own and not url.startswith(inside)
        ]

    def faults(self) -> list[str]:
        """Return what went wrong since this was last asked, requests to elsewhere included."""
        seen, self.problems.seen = self.problems.unexpected(), []
        pwned = self.page.evaluate("window.pwned")
        return [*seen, *self.elsewhere(), *([f"ran: {pwned!r}"] if pwned is not None else [])]


def open_file(
    browser: Browser, path: Path, trace: Trace, fragment: str = "", script: str = "", **options
) -> Opened:
    """Open a file in a context of its own, with the network switched off, and watch it.

    A `script` runs in the page before anything else of it.
    """
    context = browser.new_context(
        **{"viewport": {"width": 1440, "height": 900}, "offline": True, **options}
    )
    context.add_init_script(WATCH)
    context.add_init_script(script)
    opened = Opened(context.new_page(), trace, path, Problems(), watch_requests(context))
    opened.problems.watch(context)
    notes = opened.problems.seen.append
    context.on("page", lambda page: notes(f"opened a page: {page.url}"))
    opened.page.on("dialog", lambda dialog: (notes(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.page.goto(path.as_uri() + fragment)
    return opened


def open_report(
    browser: Browser, path: Path, trace: Trace, fragment: str = "", **options
) -> Opened:
    """Open a report and wait until it is live and nothing is on its way any more."""
    opened = open_file(browser, path, trace, fragment, **options)
    wait_until_live(opened.page)
    return opened


def watch_requests(context: BrowserContext) -> list[str]:
    """Note the address of every request from now on."""
    seen: list[str] = []
    context.on("request", lambda request: seen.append(request.url))
    context.on("page", lambda page: page.on("websocket", lambda ws: seen.append(ws.url)))
    return seen


def wait_until_live(page: Page) -> None:
    """Wait until a report answers its reader."""
    page.wait_for_function(LIVE)
    settle(page)


def go(page: Page, choices: ExplorerState | str) -> None:
    """Bring the page to a state, or to what an address says, and wait for the picture."""
    texts = choices if isinstance(choices, str) else address_of(choices)
    page.evaluate("(texts) => { window.location.hash = texts }", texts)
    settle(page)


def address_of(state: ExplorerState) -> str:
    """Every choice of a state, as the end of an address."""
    texts = {}
    for short, name in ADDRESS.items():
        value = getattr(state, name)
        texts[short] = str(int(value)) if isinstance(value, bool) else str(value)
    return urlencode(texts)


def fragment(page: Page) -> dict[str, str]:
    """What the address says of the state, by name."""
    return dict(parse_qsl(urlsplit(page.url).fragment, keep_blank_values=True))
