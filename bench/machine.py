"""What else bears on a run's numbers, in words: arithmetic libraries, the GPU as it was found."""

from __future__ import annotations

import shutil
import subprocess

BLAS_FIELDS = ("version", "architecture", "threading_layer")
GPU_FIELDS = ("name", "driver_version", "clocks.sm", "clocks.mem", "power.limit", "power.draw")

# The first of them are the device's, the others the moment's.
LASTING_GPU_FIELDS = 2


def describe_machine() -> dict[str, str]:
    """Return name to words; nothing that a machine does not tell. Changes no setting."""
    return {**_blas(), **_gpus()}


def lasting(machine: dict[str, str]) -> dict[str, str]:
    """Return what of it is the same a minute later: no clocks, no power."""
    return {
        name: "; ".join(words.split("; ")[: LASTING_GPU_FIELDS if name[:4] == "gpu " else None])
        for name, words in machine.items()
    }


def _blas() -> dict[str, str]:
    """NumPy's arithmetic: the library, its version and the processor it takes this one for."""
    import numpy  # noqa: F401, ICN001 - loads the library that is asked for
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
