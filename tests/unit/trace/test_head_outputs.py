"""What heads write, in trace files: it comes back as it was, and bad files are refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.trace import Trace
from attnpanel.trace.head_outputs import HeadOutputs
from attnpanel.trace.trace import TraceFileError
from tests.unit.trace.trace_files import (
    HOSTILE,
    B,
    H,
    S,
    T,
    content_of,
    full_trace,
    joined,
    parts,
)


def with_outputs():
    """Two calls of which it is known what heads write, with one list of tokens, and why not."""
    trace, tokens = full_trace(), (*HOSTILE, "f")
    rng = np.random.default_rng(5)

    def numbers(*shape):
        return rng.normal(size=shape).astype(np.float32)

    outputs = HeadOutputs(
        numbers(B, H, S),
        rng.integers(0, 6, (B, H, S, 4), dtype=np.int32),
        numbers(B, H, S, 4),
        rng.integers(0, 6, (B, H, T, 4), dtype=np.int32),
        numbers(B, H, T, 4),
        numbers(B, T),
        vocabulary=tokens,
    )
    first, second = trace.calls
    unknown = HeadOutputs(missing=HOSTILE[0])
    trace.set_calls(
        [
            replace(first, outputs=outputs),
            replace(first, outputs=outputs),
            replace(second, outputs=unknown),
        ]
    )
    return trace


def test_what_heads_write_is_kept(tmp_path):
    saved = with_outputs()
    saved.save(tmp_path / "x.trace")
    loaded = Trace.load(tmp_path / "x.trace")

    for got, expected in zip(loaded, saved, strict=True):
        assert got.outputs.missing == expected.outputs.missing
        assert got.outputs.vocabulary == expected.outputs.vocabulary
        assert got.outputs.arrays.keys() == expected.outputs.arrays.keys()
        for name, array in expected.outputs.arrays.items():
            np.testing.assert_array_equal(got.outputs.arrays[name], array)
    # One list for both calls that share it.
    assert loaded[0].outputs.vocabulary is loaded[1].outputs.vocabulary
    part = loaded.select(heads=[1, 4])[0].outputs
    np.testing.assert_array_equal(part.key_ids, saved[0].outputs.key_ids[:, [1, 4]])
    np.testing.assert_array_equal(part.final_scale, saved[0].outputs.final_scale)


def test_promoted_tokens_are_left_out_with_the_texts(tmp_path):
    with_outputs().save(tmp_path / "x.trace", tokens=False)
    outputs = Trace.load(tmp_path / "x.trace")[0].outputs

    assert list(outputs.arrays) == ["norms"]
    assert outputs.vocabulary == ()
    assert "left out with the texts" in outputs.missing


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"vocabulary": 1}, "outputs.vocabulary must be below 1"),
        ({"vocabulary": None}, "outputs.key_ids must be below 0, the number of listed tokens"),
        ({"missing": 3}, "calls[0].outputs.missing must be text"),
        ({"more": 3}, "calls[0].outputs must have the fields vocabulary, missing"),
    ],
)
def test_outputs_of_a_bad_file(change, rule, tmp_path):
    header, document, data = parts(content_of(with_outputs(), tmp_path))
    document["calls"][0]["outputs"] |= change
    header["__metadata__"]["trace"] = json.dumps(document)
    with pytest.raises(TraceFileError, match=re.escape(rule)):
        Trace.from_bytes(joined(header, data))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"norms": np.zeros((B, H, T), np.float32)}, "outputs.norms must have shape (2, 6, 7)"),
        ({"key_ids": np.zeros((B, H, S, 4))}, "outputs.key_ids must be int32 with 4 axes"),
        ({"row_ids": None}, "outputs must have all of key_ids, key_logits, row_ids"),
    ],
)
def test_outputs_that_fit_no_call(change, rule):
    call = with_outputs()[0]
    with pytest.raises(ValueError, match=re.escape(rule)):
        replace(call, outputs=replace(call.outputs, **change))
