"""Peer tools: how to export their pages, detect their first plot, and install them.

They are installed in a virtual environment under `.cache` from pinned packages without their
dependencies; NumPy and torch are those of the project, so that all tools use the same versions. The
project does not depend on any peer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.measure.environment import ROOT, in_checkout
from attnpanel.bench.product.report.exporting import Exporter

REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")
ENVIRONMENT = (ROOT if in_checkout() else Path.cwd()) / ".cache" / "peers-venv"
MEMORY_BYTES = 16 * 2**30  # address space; importing torch already reserves some
INSTALL_LIMIT_S = 600.0


@dataclass(frozen=True)
class Peer:
    """One view of one tool.

    Attributes
    ----------
    tool : str
        Display name.
    package : str
    drawn : str
        JavaScript: whether the first plot exists.
    next_head : str or None
        JavaScript function that shows another head; None if it does not draw offline.
    """

    tool: str
    package: str
    drawn: str
    next_head: str | None


PEERS: dict[str, Peer] = {
    "bertviz-head": Peer(
        "BertViz head view", "bertviz", 'document.querySelector("#vis svg") !== null', None
    ),
    "bertviz-model": Peer(
        "BertViz model view", "bertviz", 'document.querySelector("#vis svg") !== null', None
    ),
    "inspectus": Peer(
        "Inspectus",
        "inspectus",
        'document.querySelector(".attention-visualization .matrix .cell") !== null',
        '() => [...document.querySelectorAll(".token")].at(-1).click()',
    ),
    "circuitsvis": Peer(
        "CircuitsVis",
        "circuitsvis",
        "anyCanvasPainted()",
        '() => document.querySelectorAll("h4")[1].parentElement.click()',
    ),
    # It has no heatmap; its first plot is a table of the weights of one token.
    "attnview": Peer(
        "attnview",
        "attnview",
        'document.querySelector("#weights tr") !== null',
        """() => {
          const head = document.querySelector("#head");
          head.value = "1";
          head.dispatchEvent(new Event("change"));
        }""",
    ),
}


def versions() -> dict[str, str]:
    """Return the pinned version of each tool."""
    pins = dict(
        line.split("==")
        for line in REQUIREMENTS.read_text("utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    return {peer.package: pins[peer.package] for peer in PEERS.values()}


def exporter(name: str, weights: Path, python: Path) -> Exporter:
    """Return the exporter of one of `PEERS` for a file of weights."""
    return Exporter(
        str(python),
        "attnpanel.bench.product.report.peers_export",
        (name, str(weights)),
        (str(MEMORY_BYTES),),
    )


def ensure_environment(folder: Path = ENVIRONMENT) -> Path:
    """Create the peers' environment if it is not up to date; return its interpreter.

    Raises
    ------
    MeasurementError
        If it can't be created, for example without a network.
    """
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    made_from = folder / "made-from.txt"
    wanted = f"{sys.version}\n{sysconfig.get_path('purelib')}\n{REQUIREMENTS.read_text('utf-8')}"
    if made_from.is_file() and made_from.read_text("utf-8") == wanted:
        return python
    print(f"bench report: making the peers' environment in {folder}", file=sys.stderr, flush=True)
    try:
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
        # Use the project's pip: installing another one would take most of the time.
        pip = (sys.executable, "-m", "pip", "--python", str(python), "install")
        _run(*pip, "-qq", "--no-deps", "-r", str(REQUIREMENTS))
    except MeasurementError as error:
        raise MeasurementError(
            f"the peers' environment can't be made: {error}. It needs a network the first time; "
            "--skip-peers measures the report alone"
        ) from None
    _add_project_packages(python)
    made_from.write_text(wanted, "utf-8")
    return python


def _add_project_packages(python: Path) -> None:
    """Add the project's packages to the environment's path, after its own packages."""
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(_run(str(python), "-c", ask).strip())
    folders = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (own / "project.pth").write_text("\n".join([*folders, ""]), "utf-8")


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{command[0]} took longer than {INSTALL_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise MeasurementError(lines[-1][:200] if lines else f"exit status {done.returncode}")
    return done.stdout
