"""make_payload(): what goes into a page, how it is stored, and what is left out."""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib

import numpy as np
import pytest

from attnpanel.explorer.selection import value_colours
from attnpanel.explorer.wire_format import (
    AUTO_VALUE_BYTES,
    SCHEMA,
    Payload,
    describe,
    make_payload,
    make_projections,
    pack_layer,
)
from attnpanel.models.toy import rgb_from_values, toy_trace
from attnpanel.trace import Trace
from tests.hand_made import call, recorded, trace_of


def unpacked(payload, index=0):
    """A call's arrays, unpacked here from the description alone."""
    raw = zlib.decompress(base64.b64decode(payload.calls[index]))
    arrays, start = {}, 0
    for row in payload.meta["calls"][index]["arrays"]:
        dtype, shape = np.dtype(row["dtype"]), row["shape"]
        size = int(np.prod(shape)) * dtype.itemsize
        planes = np.frombuffer(raw[start : start + size], np.uint8).reshape(dtype.itemsize, -1)
        arrays[row["name"]] = np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
        start += size
    assert start == len(raw)
    return arrays


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_arrays_come_back_as_they_were_rounded(dtype):
    one = call(0, batch=2, heads=6, kv_heads=2, query_len=7)

    arrays = unpacked(make_payload(trace_of(one), dtype=dtype))

    assert arrays.keys() == {"query", "key", "value"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, getattr(one, name).astype(dtype))


def test_the_planes_of_two_numbers_by_hand():
    # 1.0 is 0x3c00 and -2.0 is 0xc000: low bytes first, then high bytes, queries before keys.
    one = call(0, heads=1, query_len=1, values=False)
    one = dataclasses.replace(
        one,
        query=np.array([[[[1.0, -2.0]]]], np.float32),
        key=np.array([[[[-2.0, -2.0]]]], np.float32),
        scale=1.0,
    )

    raw = zlib.decompress(base64.b64decode(make_payload(trace_of(one)).calls[0]))

    assert raw == bytes.fromhex("00003cc00000c0c0")


@pytest.mark.parametrize("most", [65504.0, 65520.0, 1e30])
def test_numbers_beyond_float16_are_stored_as_float32(most):
    one = call(0)
    query = one.query.copy()
    query[0, 0, 0, 0] = -most
    payload = make_payload(trace_of(dataclasses.replace(one, query=query), call(1)))

    # 65504 is the largest number of float16; 65520 would be rounded to infinity.
    fits = most == 65504.0
    assert payload.meta["calls"][0]["dtype"] == ("float16" if fits else "float32")
    assert payload.meta["calls"][1]["dtype"] == "float16"
    arrays = unpacked(payload)
    assert np.isfinite(arrays["query"]).all()
    np.testing.assert_array_equal(arrays["query"], query.astype("float16" if fits else "float32"))
    assert {array.dtype.name for array in arrays.values()} == {"float16" if fits else "float32"}


def test_a_value_beyond_float16_makes_the_whole_call_float32():
    one = call(0)

    payload = make_payload(trace_of(dataclasses.replace(one, value=one.value * 1e6)))

    assert payload.meta["calls"][0]["dtype"] == "float32"


def test_masks_biases_and_positions_go_in_as_they_are():
    mask = np.random.default_rng(0).random((2, 1, 5, 7)) < 0.5
    bias = np.full((1, 3, 1, 7), -np.inf, np.float16)
    bias[..., :3] = 1.5
    one = call(
        0, batch=2, query_len=5, key_len=7, mask=mask, bias=bias, causal="top_left", q_offset=2,
        scale=0.25,
    )  # fmt: skip

    payload = make_payload(trace_of(one))

    arrays, fields = unpacked(payload), payload.meta["calls"][0]
    np.testing.assert_array_equal(arrays["mask"], mask)
    np.testing.assert_array_equal(arrays["bias"], bias.astype(np.float32))
    assert arrays["bias"].dtype == np.float32
    assert (fields["causal"], fields["qOffset"], fields["scale"]) == ("top_left", 2, 0.25)
    assert [fields[name] for name in ("B", "H", "Hkv", "T", "S", "D", "Dv")] == [
        2, 3, 3, 5, 7, 11, 13,
    ]  # fmt: skip
    assert not fields["usualScale"]
    assert fields["hasBias"]
    assert (fields["softCap"], fields["sinks"]) == (None, None)


def test_cap_and_sinks_go_in_as_numbers():
    one = call(0, soft_cap=50, sinks=np.array([-1.5, 0, 0.1], np.float32))

    fields = make_payload(trace_of(one)).meta["calls"][0]

    assert fields["softCap"] == 50.0
    np.testing.assert_array_equal(np.float32(fields["sinks"]), one.sinks)


def test_recorded_weights_go_in_alone():
    one = recorded(0, heads=2, query_len=7)

    payload = make_payload(trace_of(one))

    fields = payload.meta["calls"][0]
    assert unpacked(payload).keys() == {"recorded"}
    assert (fields["live"], fields["dtype"], fields["D"]) == (False, "recorded weights", None)
    assert (fields["hasValue"], fields["hasColours"]) == (False, False)


def test_weights_that_the_model_left_unknown_stay_unknown():
    weights = np.full((1, 1, 3, 3), np.nan, np.float32)
    weights[..., 1, :] = 1 / 3
    one = dataclasses.replace(recorded(0), recorded_weights=weights)

    stored = unpacked(make_payload(trace_of(one)))["recorded"]

    np.testing.assert_array_equal(stored, weights.astype(np.float16))


# -- values ----------------------------------------------------------------------------------


def test_values_are_kept_while_all_arrays_fit_8_mb():
    # Query, key and value of 4 heads, D = 64, take 3 * 4 * 64 * 2 bytes a token: 1536.
    most = AUTO_VALUE_BYTES // 1536
    shape = (1, 4, most + 1, 64)
    zeros = np.zeros(shape, np.float16)

    def kept(length, **options):
        arrays = dict.fromkeys(("query", "key", "value"), zeros[:, :, :length])
        trace = trace_of(dataclasses.replace(call(0, heads=4), **arrays))
        return make_payload(trace, **options).meta["calls"][0]["hasValue"]

    assert AUTO_VALUE_BYTES == 8_000_000
    assert kept(most)
    assert not kept(most + 1)
    assert kept(most + 1, values=True)
    assert not kept(most // 2 + 1, dtype="float32")


def test_without_values_their_colours_go_in():
    one = call(0, batch=2, heads=6, kv_heads=2)

    payload = make_payload(trace_of(one), values=False, color_seed=5)

    arrays, fields = unpacked(payload), payload.meta["calls"][0]
    assert arrays.keys() == {"query", "key", "colours"}
    assert (fields["hasValue"], fields["hasColours"], fields["Dv"]) == (False, True, None)
    assert payload.meta["colorSeed"] == 5
    assert payload.meta["projections"] == {}
    for batch in range(2):
        for head in range(6):
            expected = value_colours(one, head, batch, seed=5)
            # Half a unit of float16 below 1.
            np.testing.assert_allclose(arrays["colours"][batch, head], expected, atol=2.0**-12)


def test_a_trace_without_values_has_neither_values_nor_colours():
    for values in ("auto", True, False):
        payload = make_payload(trace_of(call(0, values=False)), values=values)

        fields = payload.meta["calls"][0]
        assert unpacked(payload).keys() == {"query", "key"}
        assert (fields["hasValue"], fields["hasColours"]) == (False, False)


def test_a_projection_makes_the_colours_of_rgb_from_values():
    trace = toy_trace()
    values = trace.calls[0].value[0].astype(float)

    projection = np.reshape(make_payload(trace).meta["projections"]["2"]["7"], (2, 3))
    projected = values @ projection
    low, high = projected.min(), projected.max()

    # Nine digits of each number are kept.
    np.testing.assert_allclose(
        (projected - low) / (high - low), rgb_from_values(values, seed=7), atol=1e-7
    )


# -- everything else -------------------------------------------------------------------------


def test_the_meta_data_is_json_of_a_named_version():
    payload = make_payload(trace_of(call(0), recorded(1), query_tokens=[list("abcde")]))

    assert json.loads(json.dumps(payload.meta, allow_nan=False))["calls"] == payload.meta["calls"]
    assert payload.meta["schema"] == SCHEMA == "attnpanel.payload/1"


def test_tokens_are_written_once_where_they_are_the_traces_own():
    words = ("one", "two", "three", "four", "five")
    trace = Trace(
        [call(0, batch=2), call(1, query_len=3, key_len=5)],
        query_tokens=[words, words[::-1]],
        source="capture",
    )

    meta = make_payload(trace).meta

    assert meta["queryTokens"] == [list(words), list(words[::-1])]
    assert meta["labels"][0] == [None, None]
    assert meta["labels"][1] == [[list(side) for side in trace.tokens_of(trace.calls[1], 0)]]


def test_a_payload_does_not_depend_on_when_it_is_made():
    trace = trace_of(call(0), recorded(1))

    one, other = make_payload(trace), make_payload(trace)

    assert (one.meta, one.calls) == (other.meta, other.calls)


def test_the_colours_of_both_looks_go_in():
    meta = make_payload(toy_trace()).meta

    for theme in ("light", "dark"):
        palettes = meta["palettes"][theme]
        assert palettes["sequential"].keys() == {"0.5", "1"}
        for palette in (*palettes["sequential"].values(), palettes["diverging"]):
            assert len(palette) == 256
        assert meta["themes"][theme]["accent"].startswith("#")
    assert meta["themes"]["light"] != meta["themes"]["dark"]


@pytest.mark.parametrize("one", [call(0, query_len=4, key_len=9), recorded(0)])
def test_a_layer_handed_over_later_is_described_as_it_is_held(one):
    fields = describe(trace_of(one))["calls"][0]

    layer = Payload(
        {"calls": [fields]}, [base64.b64encode(zlib.compress(pack_layer(one))).decode()]
    )
    for name, array in unpacked(layer).items():
        held = one.recorded_weights if name == "recorded" else getattr(one, name)
        assert array.dtype == held.dtype
        np.testing.assert_array_equal(array, held)


def test_a_paint_seed_asked_for_later_is_the_one_a_report_has():
    trace = toy_trace()

    assert (
        make_projections(trace, [7])["2"]["7"] == make_payload(trace).meta["projections"]["2"]["7"]
    )
