"""Find a Chromium or Chrome for tests and measurements; with --install, bring one.

``python -m bench.browser [--install]`` prints the browser's path, or says on standard error
what to do and exits with 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Started the same way everywhere; a headless browser has no use for the rest.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
WHAT_TO_DO = (
    "no Chromium or Chrome was found: install one (Debian: apt-get install chromium), run "
    "`.venv/bin/python -m playwright install chromium`, or name one in ATTNPANEL_CHROMIUM"
)


class MeasurementError(RuntimeError):
    """What was to be measured did not happen."""


def find_browser() -> str | None:
    """Return the path of the first browser that starts, or None.

    A browser named in ATTNPANEL_CHROMIUM is the only one considered.
    """
    named = os.environ.get("ATTNPANEL_CHROMIUM")
    candidates = iter([named]) if named else _candidates()
    return next((path for path in candidates if _starts(path)), None)


def install_browser() -> None:
    """Bring Debian's chromium where that is possible, else Playwright's own."""
    debian = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None
    if debian:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", "chromium")
    if find_browser() is None:
        _run(sys.executable, "-m", "playwright", "install", *(["--with-deps"] * debian), "chromium")


def main(arguments: Sequence[str]) -> int:
    """Print the browser's path, after installing one if asked to and needed."""
    path = find_browser()
    if path is None and "--install" in arguments and not os.environ.get("ATTNPANEL_CHROMIUM"):
        print("no browser yet: installing one", file=sys.stderr)
        install_browser()
        path = find_browser()
    print(WHAT_TO_DO if path is None else path, file=sys.stderr if path is None else sys.stdout)
    return int(path is None)


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, COMMANDS))
    yield MAC_CHROME
    yield from _playwrights_own()


def _playwrights_own() -> Iterator[str]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.executable_path


def _starts(path: str) -> bool:
    # Ubuntu's /usr/bin/chromium-browser may be a stub that only says "install the snap".
    if not Path(path).is_file():
        return False
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _run(*command: str) -> None:
    # Standard output carries nothing but the browser's path.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, stdout=sys.stderr, env=environment, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
