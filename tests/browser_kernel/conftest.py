"""The browser's maths, run by one Node process for all tests."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from attnpanel.kernels.javascript.node_process import find_node

WHAT_TO_DO = "no Node.js: `make install` brings it"
TYPES = {
    "Float32Array": np.float32,
    "Float64Array": np.float64,
    "Int32Array": np.int32,
    "Uint8Array": np.uint8,
    "Uint16Array": np.uint16,
    "Uint32Array": np.uint32,
}
TYPE_NAMES = {np.dtype(dtype): name for name, dtype in TYPES.items()}


class KernelError(Exception):
    """What the JavaScript threw."""


class Kernel:
    """Calls exports of the page's maths; arrays of any shape go flat, as the browser holds them."""

    def __init__(self, requests: IO[str], replies: IO[str]) -> None:
        self._requests, self._replies = requests, replies

    def __call__(self, name: str, *args: Any, changes: bool = False) -> Any:
        """Return what the export `name` gives; only with `changes` may it alter an argument."""
        request = {"name": name, "args": [encode(argument) for argument in args]}
        self._requests.write(json.dumps(request, allow_nan=False) + "\n")
        self._requests.flush()
        line = self._replies.readline()
        assert line, "node ended: see its message above"
        reply = json.loads(line)
        if "error" in reply:
            raise KernelError(reply["error"])
        assert reply["changed"] == changes, f"{name}: changes its arguments: {reply['changed']}"
        return decode(reply["result"])


def encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        flat = np.ascontiguousarray(value.astype(np.uint8) if value.dtype == bool else value)
        name = TYPE_NAMES[flat.dtype]
        return {"$array": name, "data": base64.b64encode(flat.tobytes()).decode()}
    if isinstance(value, type) and np.dtype(value) in TYPE_NAMES:
        return {"$type": TYPE_NAMES[np.dtype(value)]}
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity"
        return {"$number": "-" + name if value < 0 else name}
    return value


def decode(value: Any) -> Any:
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" in value:
        return np.frombuffer(base64.b64decode(value["data"]), TYPES[value["$array"]])
    if "$number" in value:
        return float(value["$number"])
    return {name: decode(item) for name, item in value.items()}


@contextmanager
def node_running(module: Path) -> Iterator[Kernel]:
    """The exports of a module in Node; without Node the test is skipped, or fails where CI=true."""
    node = find_node()
    if node is None and os.environ.get("CI") == "true":
        pytest.fail(WHAT_TO_DO)
    if node is None:
        pytest.skip(WHAT_TO_DO)
    command = [node, Path(__file__).with_name("driver.mjs"), module]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, **pipes) as process:
        yield Kernel(process.stdin, process.stdout)
        process.stdin.close()


@pytest.fixture(scope="session")
def kernel() -> Iterator[Kernel]:
    """The page's maths in Node."""
    with node_running(Path(__file__).with_name("kernel.mjs")) as kernel:
        yield kernel
