"""Implementations that behave, and others that misbehave in each way a process can."""

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


def made(name, before=lambda: None, result=correct, **changes) -> Implementation:
    """An implementation that does `before()` and then returns `result(inputs)`."""

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


def abort_with_words():
    sys.stderr.write("assertion failed: rows != cols")
    sys.stderr.flush()
    os.abort()


def take_all_memory():
    np.empty(3 * 2**29)  # 12 GiB that are never touched: a limit of 8 alone refuses them


def abort_when_told():
    if Path(os.environ["MADE_KERNELS_ABORT"]).exists():
        os.abort()


def hang_when_told():
    while Path(os.environ["MADE_KERNELS_HANG"]).exists():
        time.sleep(0.05)


def chat():
    sys.stdout.write("x" * 100_000)
    sys.stderr.write("y" * 100_000)


def hold_the_interpreter():
    # PyDLL keeps the interpreter's lock: no other thread of the process runs meanwhile.
    ctypes.PyDLL(None).sleep(600)


def from_an_arena(inputs, arena={}):  # noqa: B006 - the arena outlives the call, as arenas do
    if "output" not in arena:
        arena["output"] = correct(inputs).output
    return RawResult(arena["output"])


RIGHT = made("right")
HOARDING = made("hoarding", result=from_an_arena)
ALSO_RIGHT = made("also-right")
COMPILING = made("compiling", compiles=True)
SLOW = made("slow", lambda: time.sleep(0.03))
WRONG = made("wrong", result=lambda inputs: RawResult(correct(inputs).output * 1.01))
REFUSING = made("refusing", unsupported=lambda _request: ["it does not like primes"])
RAISING = made("raising", raises)
EXITING = made("exiting", lambda: sys.exit(3))
QUITTING = made("quitting", lambda: os._exit(7))
ABORTING = made("aborting", abort_with_words)
KILLED = made("killed", kill_itself)
GREEDY = made("greedy", take_all_memory)
HANGING = made("hanging", lambda: time.sleep(600))
HOLDING = made("holding", hold_the_interpreter)
TALKING = made("talking", chat)
ABORTING_WHEN_TOLD = made("aborting-when-told", abort_when_told)
HANGING_WHEN_TOLD = made("hanging-when-told", hang_when_told)
KILLING_ITS_PARENT = made("killing-its-parent", lambda: os.kill(os.getppid(), signal.SIGKILL))
