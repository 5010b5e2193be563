"""Run JupyterLab with temporary settings, for a notebook's screenshot and test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

START_LIMIT_S = 120


@contextmanager
def jupyterlab(folder: Path, *, dark: bool = False) -> Iterator[str]:
    """Serve the notebooks of a folder; yields the URL of JupyterLab, which needs no token.

    The user's own settings are neither read nor written, and no news are fetched.

    Raises
    ------
    RuntimeError
        If the server does not listen in time.
    """
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        settings = home / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        news = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(news))
        theme = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
        (settings / "themes.jupyterlab-settings").write_text(json.dumps(theme))
        folders = {
            "JUPYTER_CONFIG_DIR": home / "config",
            "JUPYTER_DATA_DIR": home / "data",
            "JUPYTER_RUNTIME_DIR": home / "runtime",
            "IPYTHONDIR": home / "ipython",
            "JUPYTERLAB_SETTINGS_DIR": home / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        }
        environment = os.environ | {name: str(path) for name, path in folders.items()}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
        command += [
            "--IdentityProvider.token=",
            "--expose-app-in-browser",
            f"--ServerApp.root_dir={folder}",
        ]
        log = home / "log"
        with log.open("w") as out:
            server = subprocess.Popen(command, env=environment, stdout=out, stderr=out)  # noqa: S603 - our own server
        try:
            yield _address(server, home / "runtime", log)
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Return the URL that the server writes to its runtime folder once it listens."""
    deadline = time.monotonic() + START_LIMIT_S
    while server.poll() is None and time.monotonic() < deadline:
        for path in runtime.glob("jpserver-*.json"):
            try:
                return str(json.loads(path.read_text())["url"])
            except ValueError:  # only partly written
                break
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not listen within {START_LIMIT_S} s: {log.read_text()}")


def run_all(page: Page, address: str, name: str) -> None:
    """Open a notebook in JupyterLab and run all of its cells."""
    page.goto(f"{address}lab/tree/{name}")
    page.get_by_text("| Idle").wait_for(timeout=120_000)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
