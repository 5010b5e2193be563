"""Fake implementations: correct ones, and one for each way in which a process can fail."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult


def correct(inputs):
    query, key, value = (
        array.astype(np.float64) for array in (inputs.query, inputs.key, inputs.value)
    )
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1])
    if inputs.mask is not None:
        scores = np.where(inputs.mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return RawResult((weights @ value).astype(inputs.query.dtype))


def make_kernel(name, before=lambda: None, result=correct, **changes) -> Implementation:
    """Return an implementation that calls `before()` and then returns `result(inputs)`."""

    def prepare(inputs, request, *, threads=1):
        def call():
            before()
            return result(inputs)

        return call

    standard = Implementation(
        name=name,
        framework="numpy",
        source="the tests",
        devices=("cpu",),
        dtypes=("float32",),
        returns=frozenset({"output"}),
        empty_rows="nan",
        causal_align=None,
        scores_dtype="float32",
        compiles=False,
        limits="",
        unsupported=lambda _request: [],
        prepare=prepare,
    )
    return replace(standard, **changes)


def raises():
    raise RuntimeError("the kernel has <b>no</b> plan for this")


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def abort_with_message():
    sys.stderr.write("assertion failed: rows != cols")
    sys.stderr.flush()
    os.abort()


def take_all_memory():
    np.empty(3 * 2**29)  # 12 GiB, never touched: fails only because of the limit of 8 GiB


def abort_on_flag():
    if Path(os.environ["FAKE_KERNELS_ABORT"]).exists():
        os.abort()


def hang_on_flag():
    while Path(os.environ["FAKE_KERNELS_HANG"]).exists():
        time.sleep(0.05)


def print_a_lot():
    sys.stdout.write("x" * 100_000)
    sys.stderr.write("y" * 100_000)


def report_started():
    """Create the file named in FAKE_KERNELS_STARTED, for tests that wait for a hang to begin."""
    started = os.environ.get("FAKE_KERNELS_STARTED")
    if started:
        Path(started).touch()


def hang():
    report_started()
    time.sleep(600)


def hold_the_interpreter():
    report_started()
    # PyDLL keeps the interpreter lock: no other thread of the process runs meanwhile.
    ctypes.PyDLL(None).sleep(600)


def result_from_arena(inputs, arena={}):  # noqa: B006 - the arena outlives the call, as arenas do
    shape = (*inputs.query.shape[:3], inputs.value.shape[3])
    if "output" not in arena or arena["output"].shape != shape:
        arena["output"] = np.empty(shape, np.float32)
    # A few queries at a time, so that nothing else takes memory that can be seen.
    for start in range(0, shape[2], 64):
        rows = slice(start, start + 64)
        some = replace(inputs, query=inputs.query[:, :, rows])
        arena["output"][:, :, rows] = correct(some).output
    return RawResult(arena["output"])


RIGHT = make_kernel("right")
HOARDING = make_kernel("hoarding", result=result_from_arena)
ALSO_RIGHT = make_kernel("also-right")
COMPILING = make_kernel("compiling", compiles=True)
SLOW = make_kernel("slow", lambda: time.sleep(0.03))
WRONG = make_kernel("wrong", result=lambda inputs: RawResult(correct(inputs).output * 1.01))
REFUSING = make_kernel("refusing", unsupported=lambda _request: ["it does not like primes"])
RAISING = make_kernel("raising", raises)
EXITING = make_kernel("exiting", lambda: sys.exit(3))
QUITTING = make_kernel("quitting", lambda: os._exit(7))
ABORTING = make_kernel("aborting", abort_with_message)
KILLED = make_kernel("killed", kill_itself)
GREEDY = make_kernel("greedy", take_all_memory)
HANGING = make_kernel("hanging", hang)
HOLDING = make_kernel("holding", hold_the_interpreter)
TALKING = make_kernel("talking", print_a_lot)
ABORTING_ON_FLAG = make_kernel("aborting-on-flag", abort_on_flag)
HANGING_ON_FLAG = make_kernel("hanging-on-flag", hang_on_flag)
KILLING_ITS_PARENT = make_kernel(
    "killing-its-parent", lambda: os.kill(os.getppid(), signal.SIGKILL)
)
