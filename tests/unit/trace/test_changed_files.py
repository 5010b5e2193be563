"""A trace file with one change is a trace or one clear error."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace import file_header as trace_header
from attnpanel.trace.trace import TraceFileError
from tests.unit.trace.trace_files import B, D, H, T, assert_refused, content_of, joined, parts


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("extra",), 1, "the trace document must have the fields schema, source"),
        (("source",), 3, "source must be text of at most 4096 characters; got 3"),
        (("model",), "m" * 4097, "model must be text of at most 4096 characters; got 4097 char"),
        (("origins", "texts"), [[]] * 3, "origins.texts must be a list of at most 2; got 3"),
        (("origins", "texts", 0), "abc", "origins.texts[0] must be a list of at most 8; got 'abc'"),
        (("origins", "texts", 0, 1), "\ud800", "origins must be text that UTF-8 can hold"),
        (("origins", "unknown"), 3, "origins.unknown must be text of at most 4096 characters; got"),
        (("origins", "more"), 3, "origins must have the fields texts, unknown"),
        (("created",), "now", "created must be an ISO 8601 time with its zone; got 'now'"),
        (("created",), None, "created must be text of at most 4096 characters; got None"),
        (("query_tokens",), {"a": 1}, "query_tokens must be a list of at most 2; got {'a': 1}"),
        (("query_tokens", 0), "abcde", "query_tokens[0] must be a list of at most 8; got 'abcde'"),
        (("query_tokens", 1), ["a"] * 9, "query_tokens[1] must be a list of at most 8; got 9"),
        (("key_tokens",), [[]] * 3, "key_tokens must be a list of at most 2; got 3"),
        (("key_tokens", 0, 1), 7, "key_tokens[0][1] must be text of at most 4096 characters; got"),
        (("key_tokens", 0, 1), "a" * 4097, "key_tokens[0][1] must be text of at most 4096 chara"),
        (("key_tokens", 0, 1), "\ud800", "key_tokens[0][1] must be text that UTF-8 can hold; got"),
        (("head_importance",), None, "head_importance must be a list of at most 2; got None"),
        (("head_importance",), [[0] * H], "head_importance must have a list for each of 2 calls"),
        (("head_importance", 1), [0], "head_importance[1] must be a list of 6 numbers; got [0]"),
        (("head_importance", 1), "abcdef", "head_importance[1] must be a list of 6 numbers; got"),
        (("head_importance", 0, 5), "1", "head_importance[0] must be a number; got '1'"),
        (("head_importance", 0, 5), 10**400, "head_importance[0] must be finite; got 1000"),
        (("calls",), 3, "calls must be a list of at most 8192; got 3"),
        (("calls",), [0] * 8193, "calls must be a list of at most 8192; got 8193"),
        (("calls",), [], "every tensor must belong to a call; got '0.bias'"),
        (("calls", 0), 7, "calls[0] must have the fields layer, index, kind, causal, scale"),
        (("calls", 1, "extra"), 7, "calls[1] must have the fields layer, index, kind, causal"),
        (("calls", 1, "layer"), 7, "calls[1].layer must be text of at most 4096 characters; got"),
        (("calls", 1, "index"), -1, "calls[1]: index must be an integer from 0 to 2147483647"),
        (("calls", 1, "index"), 2**31, "calls[1]: index must be an integer from 0 to 2147483647"),
        (("calls", 1, "index"), True, "calls[1]: index must be an integer from 0 to 2147483647"),
        (("calls", 1, "q_offset"), 0.5, "calls[1]: q_offset must be an integer from 0 to 2147483"),
        (("calls", 1, "kind"), "own", "calls[1]: kind must be one of self, cross; got 'own'"),
        (("calls", 1, "kind"), ["self"], "calls[1]: kind must be one of self, cross; got ['self']"),
        (("calls", 1, "causal"), None, "calls[1]: causal must be one of none, top_left, bottom"),
        (("calls", 0, "scale"), "1", "calls[0]: scale must be a number; got '1'"),
        (("calls", 0, "scale"), True, "calls[0]: scale must be a number; got True"),
        (("calls", 0, "soft_cap"), -1, "calls[0]: soft_cap must be positive, within float32; got"),
        (("calls", 0, "soft_cap"), "1", "calls[0]: soft_cap must be a number; got '1'"),
        (("calls", 0, "rotary"), "half_split", "calls[0]: rotary must be a layout and a number"),
        (("calls", 0, "rotary"), [["half_split"], 2], "calls[0]: rotary must be a layout and a"),
        (
            ("calls", 0, "rotary"),
            ["twisted", 2],
            "calls[0]: rotary.layout must be one of",
        ),
        (("calls", 0, "rotary"), ["half_split", 3], "calls[0]: rotary.channels must be even"),
        (
            ("calls", 0, "rotary"),
            ["half_split", "2"],
            "calls[0]: rotary.channels must be an",
        ),
        (
            ("calls", 0, "rotary"),
            ["half_split", 12],
            "calls[0]: rotary.channels must be at most",
        ),
        (("calls", 0, "tensors", "sinks"), "0.key", "calls[0]: sinks must have shape (H,) = (6,)"),
        (("calls", 0, "scale"), 10**400, "calls[0]: scale must be finite; got 1000"),
        (("calls", 0, "tensors"), [], "calls[0].tensors must be among query, key, value, mask"),
        (("calls", 0, "tensors", "z"), "0.key", "calls[0].tensors must be among query, key, value"),
        (("calls", 0, "tensors", "key"), "9.key", "calls[0].key must name a tensor of the file"),
        (("calls", 0, "tensors", "key"), ["0.key"], "calls[0].key must name a tensor of the file"),
        (("calls", 0, "tensors", "key"), 9, "calls[0].key must name a tensor of the file; got 9"),
        (("calls", 0, "tensors", "key"), "0.value", "calls[0]: query and key must agree in B and"),
        (("calls", 0, "tensors", "key"), "0.mask", "calls[0]: key must be a NumPy array of float"),
        (("calls", 0, "tensors", "mask"), "0.bias", "calls[0]: mask must be a NumPy array of bool"),
        (("calls", 1, "tensors", "mask"), "1.recorded_weights", "calls[1]: mask must be a NumPy"),
    ],
)
def test_a_document_with_one_wrong_field_is_refused(good, where, value, message):
    header, document, data = parts(good)
    place = document
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value

    assert_refused(joined(header, data, document), message)


def test_a_missing_field_is_refused(good):
    header, document, data = parts(good)
    for name in set(document) - {"schema", "head_importance", "origins"}:
        left = {field: value for field, value in document.items() if field != name}
        assert_refused(joined(header, data, left), "the trace document must have the fields")
    # Only a soft-capped call names its cap.
    for name in set(document["calls"][0]) - {"soft_cap", "rotary"}:
        call = {field: value for field, value in document["calls"][0].items() if field != name}
        changed = document | {"calls": [call, document["calls"][1]]}
        assert_refused(joined(header, data, changed), "calls[0] must have the fields")


def test_a_number_beyond_every_float_is_refused(good):
    header, document, data = parts(good)
    header["__metadata__"]["trace"] = json.dumps(document).replace('"scale": 0.1', '"scale": 1e999')
    assert_refused(joined(header, data), "calls[0]: scale must be finite; got inf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "F64"}, "tensor '0.query' must be one of F16, F32, BOOL, I32, U8; got 'F64'"),
        ({"dtype": ["F16"]}, "must be one of F16, F32, BOOL, I32, U8; got ['F16']"),
        ({"dtype": "F32"}, "tensor '0.query' must take 2640 bytes; got offsets"),
        ({"shape": [B, H, T, D, 1]}, "must have up to four axes of 1 to 65536; got [2, 6, 5, 11"),
        ({"shape": [B, H, T, -D]}, "must have up to four axes of 1 to 65536; got [2, 6, 5, -11]"),
        ({"shape": [B, H, T, 0]}, "must have up to four axes of 1 to 65536; got [2, 6, 5, 0]"),
        ({"shape": [2**62, 4, 1, 1]}, "must have up to four axes of 1 to 65536; got [4611686"),
        ({"shape": [65536] * 4}, "must take 36893488147419103232 bytes; got offsets"),
        ({"shape": [2.0, H, T, D]}, "must have up to four axes of 1 to 65536; got [2.0, 6"),
        ({"shape": 660}, "must have up to four axes of 1 to 65536; got 660"),
        ({"shape": [B, H, D, T]}, "calls[0]: query and key must agree in B and D; got (2, 6, 11"),
        ({"shape": [B * H, T, D]}, "calls[0]: query must have four axes, none of them empty; got"),
        ({"data_offsets": [-1320, 0]}, "must have two data offsets; got [-1320, 0]"),
        ({"data_offsets": [0, 1320, 0]}, "must have two data offsets; got [0, 1320, 0]"),
        ({"data_offsets": "01"}, "must have two data offsets; got '01'"),
        ({"data_offsets": [0, 1320]}, "tensors must follow each other; got"),
        ({"data_offsets": [10**6, 10**6 + 1320]}, "tensors must follow each other; got"),
        ({"data_offsets": [1320, 0]}, "must take 1320 bytes; got offsets [1320, 0]"),
        ({"more": 1}, "tensor '0.query' must have the fields dtype, shape, data_offsets"),
    ],
)
def test_a_tensor_that_does_not_fit_its_bytes_is_refused(good, change, message):
    # The query is 2 * 6 * 5 * 11 numbers of two bytes, 1320 in all, and not the first tensor.
    header, document, data = parts(good)
    header["0.query"] |= change

    assert_refused(joined(header, data, document), message)


def test_a_tensor_of_no_call_is_refused(good):
    header, document, data = parts(good)
    header["9.query"] = {"dtype": "BOOL", "shape": [1], "data_offsets": [len(data), len(data) + 1]}

    assert_refused(
        joined(header, data + b"\0", document), "every tensor must belong to a call; got '9.query'"
    )


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("query", np.nan, "finite"),
        ("key", np.inf, "finite"),
        ("value", -np.inf, "finite"),
        ("sinks", np.nan, "finite"),
        ("bias", np.nan, "finite or -inf"),
        ("bias", np.inf, "finite or -inf"),
        ("recorded_weights", np.inf, "finite or nan"),
        ("mask", 2, "0 or 1"),
    ],
)
def test_a_number_nothing_can_be_computed_with_is_refused(good, field, value, rule):
    header, document, data = parts(good)
    index = 1 if field == "recorded_weights" else 0
    entry = header[f"{index}.{field}"]
    dtype = {"F16": np.float16, "F32": np.float32, "BOOL": np.uint8}[entry["dtype"]]
    bad = np.array(value, dtype).tobytes()
    end = entry["data_offsets"][1]
    content = joined(header, data[: end - len(bad)] + bad + data[end:], document)

    message = f"calls[{index}].{field} must be {rule} throughout; got {value}"
    assert_refused(content, message)


@pytest.mark.parametrize(
    ("query", "key", "message"),
    [
        # 2**15 * 2**14 pairs: two small tensors that would ask for 2 GiB a head.
        ((1, 1, 2**15, 1), (1, 1, 2**14, 1), "query_len * key_len must be at most 268435456"),
        ((1, 2**10 + 1, 1, 1), (1, 1, 1, 1), "heads must be at most 1024; got 1025"),
        ((2**12 + 1, 1, 1, 1), (2**12 + 1, 1, 1, 1), "batch must be at most 4096; got 4097"),
        ((1, 1, 1, 2**14 + 1), (1, 1, 1, 2**14 + 1), "head_dim must be at most 16384; got 16385"),
    ],
)
def test_sizes_over_the_caps_are_refused_saving_and_loading(
    tmp_path, monkeypatch, query, key, message
):
    trace = Trace([AttentionCall("l", 0, query=np.zeros(query, "f2"), key=np.zeros(key, "f2"))])
    with pytest.raises(TraceFileError, match=re.escape(f"calls[0]: {message}")):
        trace.save(tmp_path / "big.trace")
    monkeypatch.setattr(trace_header, "_check_sizes", lambda *_: None)
    content = content_of(trace, tmp_path)
    monkeypatch.undo()

    assert_refused(content, f"calls[0]: {message}")


def assert_trace_or_one_error(content):
    try:
        trace = Trace.from_bytes(content, "fuzz")
    except TraceFileError as error:
        assert str(error).startswith("fuzz: ")  # noqa: PT017 - both outcomes are right
        return
    for call in trace.calls:
        assert call.visible(0).shape == (call.query_len, call.key_len)


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=3), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_changed_bytes_give_a_trace_or_one_error(small, edits):
    content = bytearray(small)
    for place, new, insert in edits:
        start = place % len(content)
        content[start : start if insert else start + len(new)] = new
    assert_trace_or_one_error(bytes(content))
    # With the length repaired, so that the change gets past the first check.
    end = content.rfind(b"}") + 1
    repaired = max(0, end - 8).to_bytes(8, "little") + content[8:end] + small[-8:]
    assert_trace_or_one_error(bytes(repaired))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=JSON)
def test_any_json_in_any_place_gives_a_trace_or_one_error(good, data, value):
    header, document, tail = parts(good)
    place = data.draw(st.sampled_from([header, document]))
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and isinstance(metadata.get("trace"), str):
        metadata["trace"] = json.dumps(document)
    assert_trace_or_one_error(joined(header, tail))
