"""Traces made for the browser tests: each is one kind of trace that a page must show."""

from __future__ import annotations

import numpy as np

from attnpanel.trace import AttentionCall, Trace

HOSTILE = (
    "</script><img src=x onerror=window.pwned=1>",
    "<script>window.pwned=1</script>",
    "\"'><svg onload=window.pwned=1>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "$x @token <b>bold</b> &amp; `code`",
    "javascript:window.pwned=1//",
)


def made_traces() -> dict[str, Trace]:
    """The traces by file name. Axis sizes differ from each other, so that a swap can't hide."""
    return {
        "many.safetensors": _many(),
        "cross.safetensors": _cross(),
        "keys.safetensors": _without_values(),
        "recorded.safetensors": _recorded(),
        "hostile.safetensors": _hostile(),
        "long.safetensors": _long(),
    }


def _arrays(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def _many() -> Trace:
    """Two layers, two sequences, different heads a layer, a mask of its own and shared keys."""
    query, key, value = _arrays(1, *[(2, 3, 5, 7)] * 2, (2, 3, 5, 4))
    wide, shared, mixed = _arrays(2, (2, 4, 5, 7), (2, 2, 5, 7), (2, 2, 5, 4))
    real = np.ones((2, 1, 1, 5), dtype=bool)
    real[1, ..., 4:] = False  # the second sequence is one token shorter
    calls = [
        AttentionCall("block.0", 0, query=2 * query, key=key, value=value, mask=real),
        AttentionCall(
            "block.1", 1, query=2 * wide, key=shared, value=mixed, mask=real, causal="top_left"
        ),
    ]
    tokens = [["the", "cat", "sat", "down", "."], ["a", "dog", "ran", "off", "[PAD]"]]
    return Trace(calls, query_tokens=tokens, source="file", model="two blocks")


def _cross() -> Trace:
    """Four queries that look at seven keys, which are other tokens."""
    query, key, value = _arrays(3, (1, 2, 4, 5), (1, 2, 7, 5), (1, 2, 7, 3))
    call = AttentionCall("cross", 0, kind="cross", query=query, key=key, value=value)
    return Trace(
        [call],
        query_tokens=[["il", "a", "dormi", "."]],
        key_tokens=[["he", "slept", "all", "day", "long", "!", "</s>"]],
        source="file",
    )


def _without_values() -> Trace:
    """Queries and keys alone, of the six patches of a picture."""
    query, key = _arrays(4, *[(1, 2, 6, 5)] * 2)
    trace = Trace([AttentionCall("keys only", 0, query=query, key=key)], source="file")
    trace.set_picture(np.random.default_rng(4).integers(0, 255, (20, 30, 3), np.uint8), (2, 3))
    return trace


def _recorded() -> Trace:
    (scores,) = _arrays(5, (1, 2, 6, 6))
    weights = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    return Trace([AttentionCall("recorded", 0, recorded_weights=weights)], source="file")


def _hostile() -> Trace:
    query, key, value = _arrays(6, *[(1, 2, len(HOSTILE), 5)] * 3)
    call = AttentionCall(HOSTILE[0], 0, query=query, key=key, value=value)
    return Trace([call], query_tokens=[HOSTILE], source=HOSTILE[1], model=HOSTILE[0])


def _long() -> Trace:
    """As long as makes a picture pool: more cells a side than are drawn."""
    query, key, value = _arrays(7, *[(1, 1, 1024, 8)] * 3)
    call = AttentionCall("long", 0, query=query, key=key, value=value)
    return Trace([call], query_tokens=[[f"w{i}" for i in range(1024)]], source="file")
