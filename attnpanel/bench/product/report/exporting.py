"""Write a file in fresh processes with a time limit, and measure it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.measure.environment import ROOT
from attnpanel.bench.product.report.results import Export

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Exporter:
    """A script that writes one file.

    Attributes
    ----------
    python : str
        The interpreter.
    module : str
        Run with -m; takes `arguments`, the output or "-", the file for the measurements and
        `options`.
    """

    python: str
    module: str
    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()

    def command(self, output: Path | None, result: Path) -> list[str]:
        """Return the command that exports, or for None does everything but export."""
        written = "-" if output is None else str(output)
        head = [self.python, "-m", self.module, *self.arguments]
        return [*head, written, str(result), *self.options]


def export(exporter: Exporter, output: Path, times: int, limit_s: float) -> Export:
    """Write the file several times, each in a fresh process.

    Raises
    ------
    MeasurementError
        If a process fails or exceeds the limit; the message ends with its last output.
    """
    idle = _run(exporter.command, None, limit_s)
    taken = [_run(exporter.command, output, limit_s) for _ in range(times)]
    peaks = [usage["peak_bytes"] for usage in taken]
    known = idle["peak_bytes"] is not None
    return Export(
        file_bytes=output.stat().st_size,
        wall_s=tuple(usage["wall_s"] for usage in taken),
        cpu_s=tuple(usage["cpu_s"] for usage in taken),
        extra_peak_bytes=tuple(max(0, peak - idle["peak_bytes"]) for peak in peaks)
        if known
        else None,
    )


def _run(command: Any, output: Path | None, limit_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "taken.json"
        arguments: Sequence[str] = command(output, result)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        try:
            done = subprocess.run(
                arguments,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"export took longer than {limit_s:.0f} s") from None
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise MeasurementError(f"export failed: {last[:200]}")
        taken: dict[str, Any] = json.loads(result.read_text("utf-8"))
        return taken
