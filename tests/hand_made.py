"""Small attention calls of prime sizes, so that a swapped axis can't hide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace.head_outputs import HeadOutputs


def call(
    index: int = 0,
    *,
    batch: int = 1,
    heads: int = 3,
    kv_heads: int | None = None,
    query_len: int = 5,
    key_len: int | None = None,
    values: bool = True,
    **rest: Any,
) -> AttentionCall:
    """A live call of random numbers, the same for the same arguments: D is 11, Dv is 13."""
    rng = np.random.default_rng(index)
    keys = query_len if key_len is None else key_len

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    query = draw(batch, heads, query_len, 11)
    key = draw(batch, kv_heads or heads, keys, 11)
    value = draw(batch, kv_heads or heads, keys, 13)
    kind = "self" if keys == query_len else "cross"
    return AttentionCall(
        f"layer.{index}",
        index,
        **{"kind": kind, "query": query, "key": key, "value": value if values else None, **rest},
    )


def recorded(
    index: int = 0, *, batch: int = 1, heads: int = 3, query_len: int = 5
) -> AttentionCall:
    """A call of which only the weights are known; every row sums to 1."""
    numbers = np.random.default_rng(index).random((batch, heads, query_len, query_len))
    weights = numbers / numbers.sum(axis=-1, keepdims=True)
    return AttentionCall(f"layer.{index}", index, recorded_weights=weights.astype(np.float32))


def from_scores(scores: object, values: object = None, **rest: Any) -> AttentionCall:
    """A call of one head whose scores (T, S) are exactly the given ones: the keys are the axes."""
    rows = np.asarray(scores, dtype=np.float32)
    key = np.eye(rows.shape[1], dtype=np.float32)
    value = None if values is None else np.asarray(values, dtype=np.float32)[None, None]
    return AttentionCall(
        "by hand",
        0,
        **{
            "kind": "self" if len(rows) == rows.shape[1] else "cross",
            "query": rows[None, None],
            "key": key[None, None],
            "value": value,
            "scale": 1.0,
            **rest,
        },
    )


def with_outputs(one: AttentionCall, **changes: Any) -> AttentionCall:
    """A call of which it is known what heads write: two tokens promoted, two demoted, of seven."""
    rng = np.random.default_rng(one.index)
    keys, queries = (one.batch, one.heads, one.key_len), (one.batch, one.heads, one.query_len)

    def logits(shape: tuple[int, ...]) -> np.ndarray:
        return -np.sort(-rng.standard_normal((*shape, 4)), axis=-1).astype(np.float32)

    outputs = HeadOutputs(
        rng.random(keys, np.float32) + 0.1,
        rng.integers(0, 7, (*keys, 4), dtype=np.int32),
        logits(keys),
        rng.integers(0, 7, (*queries, 4), dtype=np.int32),
        logits(queries),
        rng.random((one.batch, one.query_len), np.float32) + 0.5,
        vocabulary=(
            " the",
            "cat",
            "<b>mat</b>",
            "\u202eon",
            " ",
            "a long token that is cut short",
            ".",
        ),
    )
    return replace(one, outputs=replace(outputs, **changes))


def trace_of(*calls: AttentionCall, **rest: Any) -> Trace:
    """A captured trace, as from a model."""
    return Trace(calls, **{"source": "capture", **rest})


def varied_traces() -> dict[str, Trace]:
    """One trace for each way in which traces differ, by name."""
    from attnpanel.models.toy import toy_trace

    return {
        "toy": toy_trace(T=7, d_model=6, heads=3),
        "one token, one head": toy_trace(T=1, d_model=2, heads=1),
        "layers differ": trace_of(
            call(0, batch=2, heads=5, query_len=7),
            call(1, heads=2, query_len=3, key_len=11),
            call(2, batch=3, heads=3, query_len=11, key_len=5),
        ),
        "grouped keys": trace_of(call(0, heads=6, kv_heads=2, causal="top_left")),
        "soft-capped, with sinks": trace_of(
            call(0, soft_cap=0.5, causal="top_left"),
            call(1, heads=2, sinks=np.array([-1, 2], np.float32), mask=np.tri(5, k=-1) > 0),
        ),
        "no values": trace_of(call(0, values=False), call(1, heads=2)),
        "recorded": trace_of(recorded(0), recorded(1, heads=2, query_len=7)),
        "recorded and live": trace_of(recorded(0), call(1, heads=2, query_len=7)),
    }
