"""Trace files: bit-exact round trips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace.rotary import Rotary
from attnpanel.trace.token_origins import TokenOrigins
from tests.unit.trace.trace_files import (
    FIELDS,
    HKV,
    B,
    D,
    H,
    S,
    T,
    assert_same,
    content_of,
    full_trace,
    parts,
)


def test_a_trace_comes_back_bit_for_bit(tmp_path):
    trace = full_trace()
    path = tmp_path / "full.trace"

    trace.save(path)

    assert_same(Trace.load(path), trace)
    assert_same(Trace.load(str(path)), trace)
    assert_same(Trace.from_bytes(path.read_bytes()), trace)


def test_an_empty_trace_comes_back(tmp_path):
    trace = Trace(created="2026-01-02T03:04:05Z")
    trace.save(tmp_path / "empty.trace")

    assert_same(Trace.load(tmp_path / "empty.trace"), trace)


def test_the_same_trace_gives_the_same_bytes(tmp_path, good):
    assert content_of(full_trace(), tmp_path) == good


FLOAT = st.sampled_from([np.float16, np.float32])
SIZE = st.integers(1, 4)


def finite(dtype, shape):
    width = np.dtype(dtype).itemsize * 8
    return hnp.arrays(
        dtype,
        shape,
        elements=st.floats(width=width, allow_nan=False).filter(lambda x: abs(x) != float("inf")),
    )


@st.composite
def traces(draw):
    batch, group, kv_heads = draw(SIZE), draw(SIZE), draw(SIZE)
    query_len, key_len, head_dim = draw(SIZE), draw(SIZE), draw(SIZE)
    full = (batch, group * kv_heads, query_len, key_len)
    optional = {
        "value": finite(draw(FLOAT), (batch, kv_heads, key_len, draw(SIZE))),
        "mask": hnp.arrays(bool, draw(st.sampled_from([full, full[2:], (), (batch, 1, 1, 1)]))),
        "bias": finite(draw(FLOAT), full[1:]),
        "sinks": finite(draw(FLOAT), full[1:2]),
        "recorded_weights": finite(draw(FLOAT), full),
    }
    calls = []
    for index in range(draw(st.integers(0, 2))):
        chosen = draw(st.sets(st.sampled_from(sorted(optional))))
        calls.append(
            AttentionCall(
                draw(st.text(max_size=5)),
                index,
                kind=draw(st.sampled_from(["self", "cross"])),
                query=draw(finite(draw(FLOAT), (*full[:3], head_dim))),
                key=draw(finite(draw(FLOAT), (batch, kv_heads, key_len, head_dim))),
                causal=draw(st.sampled_from(["none", "top_left", "bottom_right"])),
                scale=draw(st.floats(allow_nan=False, allow_infinity=False)),
                q_offset=draw(st.integers(0, 2**31 - 1)),
                soft_cap=draw(st.none() | st.floats(1e-30, 1e30)),
                rotary=draw(st.sampled_from([None, *[Rotary("half_split", 2)] * (head_dim > 1)])),
                **{name: draw(optional[name]) for name in chosen},
            )
        )
    row = st.lists(st.text(max_size=5), min_size=query_len, max_size=query_len)
    rows = st.lists(row, min_size=batch, max_size=batch)
    return Trace(
        calls,
        query_tokens=draw(rows),
        key_tokens=draw(st.none() | rows),
        source=draw(st.text(max_size=5)),
    )


@settings(max_examples=40, deadline=None)
@given(trace=traces())
def test_any_trace_comes_back_bit_for_bit(trace, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.trace"
    trace.save(path)

    assert_same(Trace.load(path), trace)


def test_a_call_without_cap_and_sinks_is_written_as_before_there_were_any(small):
    _, document, _ = parts(small)

    assert document["calls"][0].keys() == {*FIELDS, "tensors"} - {"soft_cap", "rotary"}
    assert document["calls"][0]["tensors"].keys() == {"query", "key"}
    assert "head_importance" not in document


def test_a_word_longer_than_a_file_takes_keeps_its_beginning(tmp_path):
    trace = Trace(query_tokens=[["[UNK]"]])
    trace.origins = TokenOrigins((("a" * 5000,),), "[UNK]")

    loaded = Trace.from_bytes(content_of(trace, tmp_path), "long.trace")

    assert loaded.origins == TokenOrigins((("a" * 4096,),), "[UNK]")


def test_tokens_can_be_left_out(tmp_path):
    path = tmp_path / "private.trace"
    trace = Trace(query_tokens=[["secret"]], key_tokens=[["hidden"]])
    trace.origins = TokenOrigins((("secret",),))
    trace.save(path, tokens=False)

    assert b"secret" not in path.read_bytes()
    assert b"hidden" not in path.read_bytes()
    assert Trace.load(path).query_tokens == Trace.load(path).key_tokens == ()


def test_equal_masks_are_stored_once_and_shared_after_loading(good):
    header, document, _ = parts(good)

    assert "0.mask" in header
    assert "1.mask" not in header
    assert [call["tensors"]["mask"] for call in document["calls"]] == ["0.mask", "0.mask"]
    first, second = Trace.from_bytes(good).calls
    assert first.mask is second.mask


def test_different_masks_of_one_shape_are_both_stored(tmp_path):
    first, second = full_trace().calls
    trace = Trace([first, replace(second, mask=~first.mask)])

    assert_same(Trace.from_bytes(content_of(trace, tmp_path)), trace)


def test_masks_of_the_same_bytes_and_another_shape_keep_their_shapes(tmp_path):
    # Two numbers a mask: which queries may look, which keys may be looked at, and no axis at all.
    pair = np.zeros((1, 1, 2, 2), dtype=np.float32)
    seen = np.array([True, False])
    masks = [seen[:, None], seen, np.zeros((), dtype=bool)]
    trace = Trace([AttentionCall("l", 0, query=pair, key=pair, mask=mask) for mask in masks])

    assert_same(Trace.from_bytes(content_of(trace, tmp_path)), trace)


def test_arrays_that_do_not_lie_densely_are_saved_as_they_read(tmp_path):
    query = np.arange(B * H * T * D, dtype=np.float32).reshape(D, T, H, B).T
    query.flags.writeable = False
    mask = np.broadcast_to(np.arange(S) < 3, (B, H, T, S))
    trace = Trace(
        [AttentionCall("l", 0, query=query, key=np.zeros((B, HKV, S, D), "f4"), mask=mask)]
    )

    assert_same(Trace.from_bytes(content_of(trace, tmp_path)), trace)
