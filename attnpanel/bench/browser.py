"""Find, and if asked install, a Chromium or Chrome for tests and measurements.

``python -m attnpanel.bench.browser [--install] [--shell] [--firefox]`` prints the path of Chromium.
If there is none, it prints instructions to standard error and exits with 1. With --shell,
Chromium's headless shell is preferred: it has no windows, which take a fifth of the CPU time of a
test. With --firefox, the tests' second browser is installed too, or reported as missing; the exit
status depends on Chromium only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# The same everywhere; they disable features that a headless browser does not need.
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
SHELLS = ("chromium-headless-shell", "chrome-headless-shell")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
INSTALL_HINT = (
    "no Chromium or Chrome was found: install one (Debian: apt-get install chromium), run "
    "`.venv/bin/python -m playwright install chromium`, or name one in ATTNPANEL_CHROMIUM"
)
FIREFOX_COMMANDS = ("firefox-esr", "firefox")
FIREFOX_HINT = "no Firefox was found: install one (Debian: apt-get install firefox-esr)"


class MeasurementError(RuntimeError):
    """A measurement was not possible."""


def find_browser() -> str | None:
    """Return the path of the first browser that starts, or None.

    A browser named in ATTNPANEL_CHROMIUM is the only one considered.
    """
    named = os.environ.get("ATTNPANEL_CHROMIUM")
    candidates = iter([named]) if named else _candidates()
    return next((path for path in candidates if _starts(path)), None)


def find_shell() -> str | None:
    """Return the path of the first headless shell that starts, or None."""
    return next(filter(_starts, filter(None, map(shutil.which, SHELLS))), None)


def find_firefox() -> str | None:
    """Return the path of the first Firefox that starts, or None."""
    return next(filter(_starts, filter(None, map(shutil.which, FIREFOX_COMMANDS))), None)


def install_browser() -> None:
    """Install Debian's chromium if possible, otherwise Playwright's."""
    if _may_install_packages():
        _install_package("chromium")
    if find_browser() is None:
        system = ["--with-deps"] * _may_install_packages()
        _run(sys.executable, "-m", "playwright", "install", *system, "chromium")


def install_shell() -> None:
    """Install Debian's chromium-headless-shell if possible."""
    if _may_install_packages():
        _install_package("chromium-headless-shell")


def install_firefox() -> None:
    """Install Debian's firefox-esr if possible.

    The tests drive a stock Firefox over WebDriver BiDi; Playwright would install a patched one.
    """
    if _may_install_packages():
        _install_package("firefox-esr")


def main(arguments: Sequence[str]) -> int:
    """Print the browser's path, installing one if asked and needed."""
    install = "--install" in arguments
    named = bool(os.environ.get("ATTNPANEL_CHROMIUM"))
    path = None
    if "--shell" in arguments and not named:
        path = _find_or_install(find_shell, install_shell if install else None)
    if path is None:
        path = _find_or_install(find_browser, install_browser if install and not named else None)
    if "--firefox" in arguments and not _find_or_install(
        find_firefox, install_firefox if install else None
    ):
        print(FIREFOX_HINT, file=sys.stderr)
    print(INSTALL_HINT if path is None else path, file=sys.stderr if path is None else sys.stdout)
    return int(path is None)


def _find_or_install(
    find: Callable[[], str | None], install: Callable[[], None] | None
) -> str | None:
    path = find()
    if path is None and install is not None:
        print("installing a browser for the tests", file=sys.stderr)
        install()
        path = find()
    return path


def _may_install_packages() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install_package(name: str) -> None:
    _run("apt-get", "update", "-qq")
    _run("apt-get", "install", "-qq", "--yes", "--no-install-recommends", name)


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, COMMANDS))
    yield MAC_CHROME
    yield from _playwright_candidates()


def _playwright_candidates() -> Iterator[str]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.executable_path


def _starts(path: str) -> bool:
    # Ubuntu's /usr/bin/chromium-browser may be a stub that only prints "install the snap".
    if not Path(path).is_file():
        return False
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _run(*command: str) -> None:
    # Standard output is reserved for the browser's path.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, stdout=sys.stderr, env=environment, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
