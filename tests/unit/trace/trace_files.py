"""Traces with every kind of field, and their files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace.rotary import Rotary
from attnpanel.trace.token_origins import TokenOrigins
from attnpanel.trace.trace import TraceFileError

B, H, HKV, T, S, D, DV = 2, 6, 3, 5, 7, 11, 13
ARRAYS = ("query", "key", "value", "mask", "bias", "sinks", "recorded_weights")
FIELDS = ("layer", "index", "kind", "causal", "scale", "q_offset", "soft_cap", "rotary")
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "a\x00b\n\r\x1b[31m",
    "\u202e\u2028\ufeff",
    '"\\',
    "{{7*7}}😀",
)


def full_trace():
    """Two calls with every kind of tensor, one mask between them, and hostile texts."""
    rng = np.random.default_rng(3)
    bias = rng.normal(size=(H, T, S)).astype(np.float16)
    bias[0, 0, 0] = -np.inf
    first = AttentionCall(
        HOSTILE[0],
        0,
        kind="cross",
        query=rng.normal(size=(B, H, T, D)).astype(np.float16),
        key=rng.normal(size=(B, HKV, S, D)).astype(np.float32),
        value=rng.normal(size=(B, HKV, S, DV)).astype(np.float16),
        mask=rng.random((B, 1, T, S)) < 0.5,
        bias=bias,
        causal="bottom_right",
        scale=0.1,
        soft_cap=50.0,
        sinks=rng.normal(size=H).astype(np.float32),
        rotary=Rotary("interleaved", 8),
    )
    recorded = rng.random((B, H, T, S)).astype(np.float32)
    recorded[0, 0, 0] = np.nan
    second = AttentionCall("", 1, mask=first.mask.copy(), q_offset=3, recorded_weights=recorded)
    trace = Trace(
        [first, second],
        query_tokens=[HOSTILE, ("",) * T],
        key_tokens=[tuple("ABCDEFG"), tuple("abcdefg")],
        source=HOSTILE[0],
        model="m",
        created="2026-01-02T03:04:05+00:00",
    )
    # Thirds have no short decimals; the model of a nan gives nan.
    trace.head_importance = [np.arange(H) / 3, np.array([np.nan, *np.arange(1, H)])]
    trace.origins = TokenOrigins((("", "na\u00efve", "\u6f22"), ("x",)), "[UNK]")
    return trace


def assert_same(loaded, saved):
    assert (loaded.query_tokens, loaded.key_tokens) == (saved.query_tokens, saved.key_tokens)
    assert (loaded.source, loaded.model, loaded.created) == (
        saved.source,
        saved.model,
        saved.created,
    )
    assert loaded.origins == saved.origins
    assert (loaded.head_importance is None) == (saved.head_importance is None)
    if saved.head_importance is not None:
        np.testing.assert_array_equal(loaded.head_importance, saved.head_importance)
    assert len(loaded.calls) == len(saved.calls)
    for got, expected in zip(loaded.calls, saved.calls, strict=True):
        for field in FIELDS:
            assert getattr(got, field) == getattr(expected, field)
        for field in ARRAYS:
            mine, theirs = getattr(got, field), getattr(expected, field)
            assert (mine is None) == (theirs is None)
            if mine is not None:
                assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
                assert mine.tobytes() == theirs.tobytes()
                assert not mine.flags.writeable


def content_of(trace, tmp_path):
    path = tmp_path / "made.trace"
    trace.save(path)
    return path.read_bytes()


def parts(content):
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["trace"])
    return header, document, content[8 + length :]


def joined(header, data, document=None):
    if document is not None:
        header = header | {"__metadata__": {"trace": json.dumps(document)}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def assert_refused(content, message, name="upload"):
    with pytest.raises(TraceFileError, match=re.escape(message)) as caught:
        Trace.from_bytes(content, name)
    sentence = str(caught.value)
    assert sentence.startswith(f"{name}: ")
    assert sentence.isprintable()
    assert len(sentence) < 500
