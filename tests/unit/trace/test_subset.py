"""Trace.select(): a subset computes what the whole trace does, and keeps its numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attnpanel.trace import Trace
from attnpanel.trace.subset import spans
from attnpanel.trace.trace import TraceFileError
from tests.hand_made import call, recorded, trace_of


@pytest.fixture
def six():
    return trace_of(*(call(index, batch=2, heads=5) for index in range(6)))


@pytest.mark.parametrize(
    ("layers", "kept"),
    [
        (3, (3,)),
        ([5, 0, 5], (0, 5)),
        (slice(2, 4), (2, 3)),
        (slice(None, None, 2), (0, 2, 4)),
        (range(4, 6), (4, 5)),
        (np.arange(2), (0, 1)),
        ("layer.[14]", (1, 4)),
        ("layer.*", (0, 1, 2, 3, 4, 5)),
    ],
)
def test_layers_are_chosen_by_number_or_name_and_keep_both(six, layers, kept):
    part = six.select(layers)

    assert part.layer_numbers == kept
    assert part.layers == tuple(f"layer.{number}" for number in kept)
    assert [item.index for item in part.calls] == list(kept)
    assert part.head_numbers(part.calls[0]) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("kv_heads", [6, 3, 2, 1])
@pytest.mark.parametrize("heads", [[4], [0, 5], [1, 3, 4], [0, 1, 2], [0, 2, 4], range(6)])
def test_a_chosen_head_keeps_its_own_keys_values_mask_bias_and_sink(kv_heads, heads):
    rng = np.random.default_rng(0)
    mask = rng.random((2, 6, 5, 5)) < 0.7
    bias = rng.standard_normal((6, 5, 5)).astype(np.float32)
    sinks = rng.standard_normal(6).astype(np.float32)
    whole_call = call(0, batch=2, heads=6, kv_heads=kv_heads, mask=mask, bias=bias, sinks=sinks)
    whole = trace_of(whole_call)

    part = whole.select(heads=heads)

    for place, number in enumerate(part.head_numbers(part.calls[0])):
        for batch in range(2):
            mine = part.calls[0].attention(place, batch)
            its = whole.calls[0].attention(number, batch)
            np.testing.assert_array_equal(mine.weights, its.weights)
            np.testing.assert_array_equal(mine.output, its.output)


def test_equal_groups_of_heads_share_their_keys_still():
    whole = trace_of(call(0, heads=6, kv_heads=3))

    assert whole.select(heads=[0, 1, 4, 5]).calls[0].kv_heads == 2
    assert whole.select(heads=[0, 2, 4]).calls[0].kv_heads == 3
    assert whole.select(heads=[0, 1, 2]).calls[0].kv_heads == 3  # no equal groups: one for each


def test_masks_for_all_heads_stay_as_they_are():
    mask = np.tri(5, dtype=bool)
    whole = trace_of(call(0, heads=3, mask=mask))

    assert whole.select(heads=2).calls[0].mask.shape == (5, 5)


def test_recorded_weights_are_chosen_too():
    whole = trace_of(recorded(0))

    np.testing.assert_array_equal(
        whole.select(heads=2).calls[0].weights(0), whole.calls[0].weights(2)
    )


def test_a_part_of_a_part_is_chosen_by_the_numbers_of_the_whole(six):
    part = six.select([1, 3, 5], [0, 2, 4]).select(3, [2, 4])

    assert (part.layers, part.layer_numbers) == (("layer.3",), (3,))
    assert part.head_numbers(part.calls[0]) == (2, 4)
    np.testing.assert_array_equal(part.calls[0].weights(1), six.calls[3].weights(4))
    assert (part.subset.layer_count, part.subset.head_count) == (6, 5)


def test_the_whole_stays_as_it_was(six):
    six.select(1, 1)

    assert len(six.calls) == 6
    assert six.subset is None
    assert six.layer_numbers == tuple(range(6))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": 6}, "layers must be among 0–5; got 6"),
        ({"layers": [0, -1]}, "layers must be among 0–5; got -1"),
        ({"layers": []}, "layers must be among 0–5; got none"),
        ({"layers": slice(9, 12)}, "layers must be among 0–5; got none"),
        ({"layers": True}, "layers must be among 0–5; got True"),
        ({"layers": "decoder.*"}, r"layers must match the name of a layer .* got 'decoder.\*'"),
        ({"heads": [1, 7]}, "heads must be among 0–4; got 7"),
        ({"heads": "1"}, "heads must be among 0–4; got 1"),
    ],
)
def test_what_does_not_exist_is_an_error_that_lists_what_does(six, options, said):
    with pytest.raises(ValueError, match=said):
        six.select(**options)


def test_heads_must_be_in_every_chosen_layer():
    uneven = trace_of(call(0, heads=5), call(1, heads=2))

    with pytest.raises(ValueError, match="heads must be among 0, 1; got 3"):
        uneven.select(heads=3)
    assert uneven.select(0, 3).head_numbers(uneven.calls[0]) == (3,)


def test_a_part_takes_no_further_call(six):
    with pytest.raises(ValueError, match="subset of a trace"):
        six.select(1).append(call(7))


def test_numbers_survive_a_file(six, tmp_path):
    path = tmp_path / "part.safetensors"
    six.select([1, 4], [0, 3]).save(path)

    part = Trace.load(path)

    assert part.layer_numbers == (1, 4)
    assert part.head_numbers(part.calls[0]) == (0, 3)
    assert (part.subset.layer_count, part.subset.head_count) == (6, 5)


@pytest.mark.parametrize(
    "lie",
    [
        {"layers": [1]},
        {"layers": [4, 1]},
        {"layers": [1, 6]},
        {"layers": [1, 1]},
        {"layers": "14"},
        {"layers": [1, True]},
        {"heads": [0]},
        {"heads": [0, 99]},
        {"heads": {}},
        {"layer_count": -1},
        {"layer_count": 10**9},
        {"head_count": "5"},
        {"heads": None, "head_count": 10**9},
        {"more": 1},
    ],
)
def test_a_file_can_not_lie_about_its_numbers(six, tmp_path, lie):
    path = tmp_path / "part.safetensors"
    six.select([1, 4], [0, 3]).save(path)
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    document = json.loads(header["__metadata__"]["trace"])
    document["chosen"] |= lie
    header["__metadata__"]["trace"] = json.dumps(document)
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + raw[8 + length :])

    with pytest.raises(TraceFileError, match="chosen"):
        Trace.load(path)


def test_runs_of_numbers_are_written_short():
    assert spans([]) == ""
    assert spans([4]) == "4"
    assert spans([0, 1, 3, 4, 5, 9]) == "0, 1, 3–5, 9"
