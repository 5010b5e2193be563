"""Take the pictures of the README: the served page on MiniLM's sentence, light, dark and narrow.

Run by `make pictures`; needs the models extra and a browser, both of which `make test` brings.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from bench.browser import ARGUMENTS, find_browser

PICTURES = Path(__file__).parent / "pictures"
LOOKS = (
    ("light", 1440, 900),
    ("dark", 1440, 900),
    ("light", 390, 844),
)


def main() -> None:
    """Serve the page, take the pictures, stop."""
    command = [sys.executable, "-m", "attnpanel", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 - our own server
        try:
            assert server.stdout is not None  # noqa: S101 - asked for above
            address = server.stdout.readline().split()[-1]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=os.environ.get("ATTNPANEL_CHROMIUM") or find_browser(),
                    args=list(ARGUMENTS),
                )
                for look, width, height in LOOKS:
                    take(browser, address, look, width, height)
                browser.close()
        finally:
            server.kill()


def take(browser: Browser, address: str, look: str, width: int, height: int) -> None:
    """Save one picture once MiniLM's numbers are on the page."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto(f"{address}?source=prompt&theme={look}")
    page.get_by_text("of what “it” becomes is taken from “trophy”").wait_for(timeout=120_000)
    page.wait_for_timeout(1500)  # the overview follows when nothing else moves
    name = f"explorer-{look}" if width > 900 else f"explorer-{look}-narrow"
    page.screenshot(path=PICTURES / f"{name}.png", full_page=width < 900)
    context.close()


if __name__ == "__main__":
    main()
