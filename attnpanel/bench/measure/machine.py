"""Describe BLAS libraries and GPUs, which affect the results of a run."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attnpanel.bench.measure.environment import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE_SUFFIXES = {".py", ".js", ".mjs", ".wgsl"}
BLAS_FIELDS = ("version", "architecture", "threading_layer")
GPU_FIELDS = (
    *("name", "driver_version", "mig.mode.current", "uuid"),
    *("clocks.sm", "clocks.mem", "power.limit", "power.draw", "temperature.gpu"),
    "clocks_throttle_reasons.active",
)
# Those that describe the kind of device, not one device and its momentary state.
STABLE_GPU_FIELDS = ("name ", "driver_version ", "mig.mode.current ")
# Name of the note that a run was ended by `--time-limit`.
TIME_LIMIT = "time limit"
# Which devices a process sees.
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")


def describe_machine() -> dict[str, str]:
    """Return facts by name, as far as the machine reports them; changes no setting."""
    variables = {name: os.environ[name] for name in GPU_VARIABLES if name in os.environ}
    return {**_blas(), **_gpus(), **variables, "sources": sources_digest()}


def sources_digest(modules: Sequence[str] = ()) -> str:
    """Return a digest of the code that is measured: attnpanel and these modules.

    Two working trees of one commit may differ. A module is looked up on the path, not imported.
    """
    found = hashlib.sha256()
    files = [path for path in (ROOT / "attnpanel").rglob("*.*") if path.suffix in SOURCE_SUFFIXES]
    places = [Path(entry) for entry in sys.path if entry]
    for module in modules:
        relative = Path(*module.split(".")).with_suffix(".py")
        files += [place / relative for place in places if (place / relative).is_file()][:1]
    for path in sorted(files):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def same_machine(first: dict[str, str], second: dict[str, str]) -> bool:
    """Whether two descriptions agree in BLAS, GPUs and sources."""
    return _comparable(first) == _comparable(second)


def _comparable(machine: dict[str, str]) -> dict[str, str]:
    notes = ("limits of ", "cuda graphs", TIME_LIMIT)
    return {k: v for k, v in stable_facts(machine).items() if not k.startswith(notes)}


def stable_facts(machine: dict[str, str]) -> dict[str, str]:
    """Return the facts that do not change over time: neither clocks nor power."""
    return {
        name: _stable(words) if name[:4] == "gpu " else words for name, words in machine.items()
    }


def _stable(words: str) -> str:
    return "; ".join(part for part in words.split("; ") if part.startswith(STABLE_GPU_FIELDS))


def _blas() -> dict[str, str]:
    """Return NumPy's BLAS: library, version and detected processor architecture."""
    import numpy  # noqa: F401, ICN001 - loads the BLAS library
    import threadpoolctl

    return {
        f"{pool['user_api']} {pool['prefix']}": " ".join(
            str(pool[key]) for key in BLAS_FIELDS if pool.get(key)
        )
        for pool in threadpoolctl.threadpool_info()
    }


def _gpus() -> dict[str, str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return {}
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={','.join(GPU_FIELDS)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {
        f"gpu {index}": "; ".join(
            f"{field} {value.strip()}"
            for field, value in zip(GPU_FIELDS, line.split(","), strict=False)
        )
        for index, line in enumerate(answer.stdout.splitlines())
    }
