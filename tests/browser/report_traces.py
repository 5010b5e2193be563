"""The traces that reports are made of in these tests, and what a report keeps of their numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from attnpanel.models.prompts import trace_prompt
from attnpanel.models.toy import toy_trace
from attnpanel.trace import Trace
from attnpanel.trace.picture import Grid, Picture
from tests.hand_made import call, recorded, trace_of, with_outputs

WORDS = ("The", "cat", "sat", "on", "the", "mat", ".")
SENTENCE = "The trophy does not fit in the brown suitcase because it is too large."


def kinds_trace() -> Trace:
    """One layer for each way in which attention calls differ; two sequences, twelve tokens."""
    gaps = np.random.default_rng(3).random((2, 3, 7, 11)) < 0.6
    gaps[1, 2, 4] = False
    bias = np.random.default_rng(5).standard_normal((1, 3, 7, 7)).astype(np.float32)
    bias[:, 1, 2, 3:] = bias[:, :, 5] = -np.inf
    bias[:, 0, 0, 1] = -1e30  # hidden, but finite
    return trace_of(
        with_outputs(call(0, batch=2, heads=6, kv_heads=2, query_len=7, causal="top_left")),
        call(1, batch=2, query_len=7, key_len=11, mask=gaps, scale=0.25),
        call(2, heads=3, query_len=7, bias=bias),
        call(3, heads=2, query_len=5, key_len=11, q_offset=6, causal="top_left"),
        call(4, heads=2, query_len=23, key_len=30, causal="bottom_right"),
        call(5, heads=2, query_len=7, values=False),
        call(6, heads=2, soft_cap=0.5, sinks=np.array([-1, 2], np.float32), causal="top_left"),
        query_tokens=[WORDS, WORDS[::-1]],
        model="a model",
    )


def odd_trace() -> Trace:
    """Recorded weights, a single token and head, numbers beyond float16, and 700 tokens."""
    huge = call(2, heads=2, query_len=7)
    huge = dataclasses.replace(huge, query=huge.query * 1e5, key=huge.key * 1e-5)
    return trace_of(
        recorded(0, heads=2, query_len=7),
        call(1, heads=1, query_len=1),
        huge,
        call(3, heads=1, query_len=700, causal="top_left"),
        query_tokens=[WORDS],
    )


def cross_trace() -> Trace:
    """Four tokens that look at seven others."""
    return trace_of(
        call(0, query_len=4, key_len=7),
        query_tokens=[["il", "a", "dormi", "."]],
        key_tokens=[WORDS],
    )


def picture_trace() -> Trace:
    """CLS and six patches of a picture; a text that looks at them; a layer of the text alone."""
    trace = trace_of(
        call(0, heads=3, query_len=7),
        call(1, heads=2, query_len=5, key_len=7),
        call(2, heads=2, query_len=5),
        query_tokens=[WORDS],
    )
    image = np.random.default_rng(7).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    trace.set_picture(image, (2, 3), names=["CLS"])
    return trace


def deep_picture_trace() -> Trace:
    """CLS and six patches through three layers; the second has a mask of its own."""
    trace = trace_of(
        call(0, heads=3, query_len=7),
        call(1, heads=2, query_len=7, causal="top_left"),
        call(2, heads=3, query_len=7),
        query_tokens=[WORDS],
    )
    trace.set_picture(np.zeros((20, 30, 3), np.uint8), (2, 3), names=["CLS"])
    return trace


def windows_trace() -> Trace:
    """Two windows of 2 × 3 patches beside each other, each a sequence."""
    trace = trace_of(call(0, batch=2, heads=2, query_len=6))
    trace.picture = Picture((), (Grid(2, 3, 6, windows=(1, 2)),))
    return trace


# Each is made once, when a test first asks for it; "minilm" needs its model.
TRACES: dict[str, Callable[[], Trace]] = {
    "toy": toy_trace,
    "kinds": kinds_trace,
    "odd": odd_trace,
    "cross": cross_trace,
    "picture": picture_trace,
    "deep picture": deep_picture_trace,
    "windows": windows_trace,
    "recorded": lambda: trace_of(recorded(0, heads=2, query_len=7), query_tokens=[WORDS]),
    "one token": lambda: toy_trace(T=1, d_model=2, heads=1),
    "minilm": lambda: trace_prompt(SENTENCE),
}


def stored(trace: Trace, dtype: str = "float16") -> Trace:
    """The trace with the numbers that a report of it holds."""
    names = ("query", "key", "value", "recorded_weights")
    calls = []
    for one in trace.calls:
        arrays = {name: getattr(one, name) for name in names if getattr(one, name) is not None}
        fits = all(np.abs(array).max() <= np.finfo(dtype).max for array in arrays.values())
        kept = {name: array.astype(dtype if fits else "float32") for name, array in arrays.items()}
        calls.append(dataclasses.replace(one, **kept))
    return Trace(
        calls,
        query_tokens=trace.query_tokens,
        key_tokens=trace.key_tokens or None,
        source=trace.source,
        model=trace.model,
        created=trace.created,
    )
