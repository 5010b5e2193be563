"""A trace that is shown can be computed, or is refused with the reason before anything is set."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.comparison import opening
from attnpanel.explorer.state import ExplorerState
from attnpanel.trace import Trace
from attnpanel.trace.computable import check_computable, not_finite
from attnpanel.trace.file_format import save_trace
from tests.hand_made import call, recorded, trace_of

LARGEST = float(np.finfo(np.float32).max)


def times(array, factor):
    return (array * np.float32(factor)).astype(np.float32)


def with_query(factor, **rest):
    one = call(0, **rest)
    return replace(one, query=times(one.query, factor))


REFUSED = {
    "scores": (with_query(1e37, scale=1e3), "scale * query @ key.T"),
    "a scale beyond float32": (call(0, scale=1e300), "scale * query @ key.T"),
    "the scaled query alone": (
        replace(with_query(1e30, scale=1e20), key=times(call(0).key, 1e-30)),
        "scale * query @ key.T",
    ),
    "a mean over heads": (with_query(3e37), "summed over 3 heads"),
    "before a soft cap": (with_query(1e38, scale=10.0, soft_cap=1.0), "scale * query @ key.T"),
    "a bias": (call(0, bias=np.full((5, 5), 2e38, np.float32)), "|bias| up to 2e+38"),
    "a bias that hides, and a score": (
        with_query(1e32, bias=np.full((5, 5), -LARGEST, np.float32)),
        "+ bias",
    ),
    "values": (replace(call(0), value=np.full((1, 3, 5, 13), 2e38, np.float32)), "sum of value"),
    "recorded weights": (
        replace(recorded(0), recorded_weights=np.full((1, 3, 5, 5), -2e38, np.float32)),
        "sum of recorded_weights",
    ),
}
SHOWN = {
    "the toy's size": call(0),
    "large scores": with_query(1e30),
    "large numbers of different channels": replace(
        call(0, heads=1),
        query=np.full((1, 1, 5, 11), 1e19, np.float32),
        key=np.full((1, 1, 5, 11), 1e18, np.float32),
    ),
    "float16": replace(
        call(0), query=call(0).query.astype("f2"), key=call(0).key.astype("f2"), bias=None
    ),
    "a mask as the lowest number": call(0, bias=np.full((5, 5), -LARGEST, np.float32)),
    "a mask of no axis": call(0, mask=np.array(False)),  # noqa: FBT003 - the mask
    "weights of nan": replace(
        recorded(0), recorded_weights=np.full((1, 3, 5, 5), np.nan, np.float32)
    ),
}


@pytest.mark.parametrize(("one", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_would_overflow_is_refused_by_pages_with_layer_rule_and_value(one, rule):
    state = ExplorerState(trace_of(call(1)))
    shown = state.trace
    bad = trace_of(call(2), one)

    with pytest.raises(ValueError, match=r"layer 'layer.0' \(call 0\): .*" + re.escape(rule)):
        state.trace = bad
    assert state.trace is shown
    assert state.param["layer"].bounds == (0, 0)
    with pytest.raises(ValueError, match=re.escape(rule)):
        ExplorerState(bad)
    with pytest.raises(ValueError, match=re.escape(rule)):
        opening(shown, bad)


@pytest.mark.parametrize("one", SHOWN.values(), ids=SHOWN)
def test_what_is_shown_is_computed_without_an_overflow(one):
    assert_computed(ExplorerState(trace_of(one)))


def assert_computed(state):
    """Every head and the mean, under every mask: finite numbers, or -inf where a bias hides."""
    for layer, one in enumerate(state.trace.calls):
        state.layer = layer
        for mask in state.param["mask"].objects if one.live else ["model"]:
            state.mask = mask
            for aggregate in (False, True):
                state.aggregate = aggregate
                with np.errstate(over="raise"):
                    chosen = state.selection
                if one.live:
                    assert np.isfinite(chosen.weights).all()
                    assert not np.isnan(chosen.scores).any()
                    assert (chosen.scores < np.inf).all()
                    assert chosen.output is None or np.isfinite(chosen.output).all()
        state.mask = "model" if "model" in state.param["mask"].objects else "none"
        for head in range(one.heads):
            assert np.isfinite(state.overview(layer, head)).all()


def test_what_a_model_computed_as_nan_or_inf_is_named():
    one = call(0, bias=np.full((5, 5), -np.inf, np.float32))
    broken = replace(one, query=times(one.query, np.inf), value=times(one.value, np.nan))

    assert not_finite(one) == ()
    assert not_finite(broken) == ("query", "value")
    check_computable(trace_of(broken))
    assert not_finite(broken) == ("query", "value")
    assert not_finite(replace(one, bias=np.full((5, 5), np.nan, np.float32))) == ("bias",)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("mutated") / "a.trace"
    bias = np.zeros((1, 1, 5, 5), np.float32)
    bias[..., 3:] = -np.inf
    one = call(0, bias=bias, soft_cap=30.0, sinks=np.zeros(3, np.float32), causal="top_left")
    save_trace(trace_of(one, recorded(1), call(2, mask=np.tri(5) > 0)), path, tokens=True)
    return path.read_bytes()


def mutated(content, rng):
    """The file with a few numbers of its data or its header changed."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    document = json.loads(header["__metadata__"]["trace"])
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.5:
            at = 4 * int(rng.integers(len(data) // 4))
            number = rng.choice([3e38, -3e38, 1e20, -1e30, 1e-45, 0.0])
            data[at : at + 4] = np.float32(number).tobytes()
        else:
            changed = document["calls"][rng.integers(len(document["calls"]))]
            name = rng.choice(["scale", "q_offset", "soft_cap", "causal", "kind", "index"])
            changed[name] = {
                "scale": float(rng.choice([0.0, -1.0, 1e38, -1e300, 1e-300])),
                "q_offset": int(rng.choice([0, 3, 2**31 - 1])),
                "soft_cap": float(rng.choice([1e-30, 1e38])),
                "causal": str(rng.choice(["none", "top_left", "bottom_right"])),
                "kind": str(rng.choice(["self", "cross"])),
                "index": int(rng.integers(9)),
            }[name]
    header["__metadata__"]["trace"] = json.dumps(document)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


@pytest.mark.thorough
@pytest.mark.slow
def test_a_damaged_file_is_refused_or_computed_whole(content):
    rng = np.random.default_rng(17)
    shown = refused = 0
    for _ in range(300):
        try:
            state = ExplorerState(Trace.from_bytes(mutated(content, rng), "damaged"))
        except ValueError:
            refused += 1
            continue
        shown += 1
        assert_computed(state)

    assert shown > 30
    assert refused > 30
