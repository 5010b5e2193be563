"""Compile attention.c to WebAssembly: `python js/wasm/build.py` writes modules.js.

Needs the compiler of PyPI's `ziglang`, which gives the same bytes on every machine.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("attention.c")
MODULES = Path(__file__).with_name("modules.js")
# What a browser must have beyond WebAssembly itself, by the name of the export.
FEATURES = {"RELAXED_SIMD": "simd128+relaxed_simd", "SIMD": "simd128"}
FLAGS = [
    *("-target", "wasm32-freestanding", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror"),
    *("-nostdlib", "-fno-builtin", "-Wl,--no-entry", "-Wl,--strip-all"),
    "-Wl,-z,stack-size=4096",
]
HEADER = """\
// Made of attention.c by build.py: never edited. Each is a WebAssembly module in base64.
"""


def compile_module(features: str) -> bytes:
    """Compile attention.c for WebAssembly with these features.

    Raises
    ------
    RuntimeError
        If the compiler fails or `ziglang` is not installed; with the messages.
    """
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "attention.wasm")
        zig = [sys.executable, "-m", "ziglang", "cc", f"-mcpu=generic+{features}", *FLAGS]
        ran = subprocess.run(
            [*zig, "-o", module, SOURCE.name],
            cwd=SOURCE.parent,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"zig cc ended with {ran.returncode}:\n{ran.stderr}")
        return module.read_bytes()


def modules_text() -> str:
    """Return what modules.js must hold."""
    lines = []
    for name, features in FEATURES.items():
        text = base64.b64encode(compile_module(features)).decode()
        lines.append(f'export const {name} = "{text}";\n')
    return HEADER + "\n".join(lines)


if __name__ == "__main__":
    MODULES.write_text(modules_text(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{MODULES}: {MODULES.stat().st_size} bytes\n")
