"""Compile the C files to WebAssembly: `python js/wasm/build.py` writes the modules beside them.

Needs the compiler of PyPI's `ziglang`, which gives the same bytes on every machine.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
# The file of modules that each source is compiled to.
MODULES = {"attention.c": FOLDER / "modules.js", "encoder.c": FOLDER / "encoder_modules.js"}
# What a browser must have beyond WebAssembly itself, by the name of the export.
FEATURES = {"RELAXED_SIMD": "simd128+relaxed_simd", "SIMD": "simd128"}
FLAGS = [
    *("-target", "wasm32-freestanding", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror"),
    # Vectorized tails and unrolled loops make a module half as large again, and no faster.
    *("-fno-vectorize", "-fno-unroll-loops"),
    *("-nostdlib", "-fno-builtin", "-Wl,--no-entry", "-Wl,--strip-all"),
    "-Wl,-z,stack-size=4096",
]
HEADER = """\
// Made of {source} by build.py: never edited. Each is a WebAssembly module in base64.
"""


def compile_module(source: str, features: str) -> bytes:
    """Compile a source for WebAssembly with these features.

    Raises
    ------
    RuntimeError
        If the compiler fails or `ziglang` is not installed; with the messages.
    """
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "module.wasm")
        zig = [sys.executable, "-m", "ziglang", "cc", f"-mcpu=generic+{features}", *FLAGS]
        ran = subprocess.run(
            [*zig, "-o", module, source],
            cwd=FOLDER,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"zig cc ended with {ran.returncode}:\n{ran.stderr}")
        return module.read_bytes()


def modules_text(source: str) -> str:
    """Return what a source's file of modules must hold."""
    lines = []
    for name, features in FEATURES.items():
        text = base64.b64encode(compile_module(source, features)).decode()
        lines.append(f'export const {name} = "{text}";\n')
    return HEADER.format(source=source) + "\n".join(lines)


if __name__ == "__main__":
    for source, path in MODULES.items():
        path.write_text(modules_text(source), encoding="utf-8", newline="\n")
        sys.stdout.write(f"{path}: {path.stat().st_size} bytes\n")
