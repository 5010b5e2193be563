"""ExplorerState: choices stay inside the trace."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.attention.mask_table import MASKS
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views.swatches import swatches_drawing
from attnpanel.models.toy import toy_trace
from attnpanel.trace import Trace
from tests.hand_made import call, recorded, trace_of, varied_traces

CASES = json.loads((Path(__file__).parents[2] / "golden" / "notebook_attention.json").read_text())[
    "cases"
]
TRACES = varied_traces()
KINDS = [row.kind for row in MASKS]
some = settings(max_examples=40, deadline=None)


@st.composite
def choices(draw, state):
    """Choices that exist in the state's trace; the layer is set first, as a reader would."""
    state.layer = draw(st.integers(*state.param["layer"].bounds))
    picked = {
        name: draw(st.integers(*state.param[name].bounds))
        for name in ("head", "batch", "query_index", "pad_len", "window")
    }
    picked["color_seed"] = draw(st.integers(0, 5))
    picked["aggregate"] = draw(st.booleans())
    picked["skip_first"] = draw(st.booleans())
    picked["temperature"] = draw(st.floats(0.1, 10))
    for name in ("mask", "align", "empty_rows", "weight_scale"):
        picked[name] = draw(st.sampled_from(state.param[name].objects))
    state.param.update(**picked)
    return picked


def assert_inside(state):
    """Every choice exists in the shown call, and exactly what exists can be chosen."""
    shown = state.call
    expected = {
        "layer": (0, len(state.trace.calls) - 1),
        "head": (0, shown.heads - 1),
        "batch": (0, shown.batch - 1),
        "query_index": (0, shown.query_len - 1),
        "pad_len": (0, shown.key_len),
        "window": (1, max(shown.query_len, shown.key_len)),
    }
    for name, (low, high) in expected.items():
        assert state.param[name].bounds == (low, high), name
        assert low <= getattr(state, name) <= high, name
    assert len(state.query_tokens) == shown.query_len
    assert len(state.key_tokens) == shown.key_len
    assert state.selection.weights.shape == (shown.query_len, shown.key_len)


# -- where a state begins ------------------------------------------------------------------


def test_the_toy_begins_as_the_notebook_does():
    state = ExplorerState(toy_trace(T=5))

    begins = state.mask, state.empty_rows, state.pad_len, state.temperature
    assert begins == ("none", "uniform", 5, 1.0)
    assert state.param["mask"].objects == KINDS


def test_a_models_trace_begins_with_the_models_own_mask():
    state = ExplorerState(trace_of(call(query_len=7)))

    assert (state.mask, state.empty_rows, state.pad_len) == ("model", "zero", 7)
    assert state.param["mask"].objects == ["model", *KINDS]


@pytest.mark.parametrize("wrong", [None, "trace", Trace()])
def test_what_is_no_trace_of_a_call_is_refused(wrong):
    with pytest.raises(ValueError, match="a Trace of at least one attention call; got"):
        ExplorerState(wrong)


def test_a_choice_of_a_later_layer_may_be_given_with_the_layer():
    trace = trace_of(call(0, heads=2), call(1, heads=5))

    assert ExplorerState(trace, head=4, layer=1).head == 4


@pytest.mark.parametrize(
    "choice",
    [{"head": 3}, {"layer": 1, "head": 2}, {"mask": "diagonal"}, {"temperature": 0}, {"hed": 1}],
)
def test_a_choice_that_does_not_exist_in_the_trace_is_refused(choice):
    with pytest.raises(ValueError, match=list(choice)[-1]):
        ExplorerState(trace_of(call(0, heads=3), call(1, heads=2)), **choice)


def test_two_explorers_do_not_share_what_can_be_chosen():
    small = ExplorerState(toy_trace(T=3, heads=2))
    large = ExplorerState(trace_of(call(0, heads=5, query_len=7)))

    assert small.param["head"].bounds == (0, 1)
    assert small.param["mask"].objects == KINDS
    assert large.param["head"].bounds == (0, 4)


# -- choices stay inside -------------------------------------------------------------------


def test_a_smaller_layer_pulls_the_choices_in_and_a_larger_one_gives_room_again():
    state = ExplorerState(TRACES["layers differ"])
    state.param.update(head=4, batch=1, query_index=6, window=7)

    state.layer = 1

    assert_inside(state)
    assert (state.head, state.batch, state.query_index, state.window) == (1, 0, 2, 7)
    state.layer = 2
    assert_inside(state)
    state.param.update(head=2, batch=2, query_index=10, pad_len=5, window=11)
    assert_inside(state)


def test_nobody_sees_a_state_that_is_half_inside_the_trace():
    state = ExplorerState(TRACES["layers differ"])
    state.param.update(head=4, batch=1, query_index=6, window=7)
    seen = []

    def look(*_events):
        assert_inside(state)
        seen.append(state.selection)

    state.param.watch(look, [name for name in state.param if name != "name"])
    state.layer = 1
    state.trace = TRACES["toy"]
    state.trace = TRACES["layers differ"]

    assert seen


def test_pad_length_counts_keys_where_there_are_fewer_than_queries():
    state = ExplorerState(TRACES["layers differ"], layer=2, mask="padding")

    state.pad_len = 5

    # 11 queries, 5 keys: the queries beyond the real length see nothing.
    assert state.selection.empty.tolist() == [False] * 5 + [True] * 6


@some
@given(st.data())
def test_whatever_is_chosen_in_whatever_order_every_choice_stays_inside_the_trace(data):
    state = ExplorerState(TRACES[data.draw(st.sampled_from(sorted(TRACES)))])
    for _ in range(3):
        data.draw(choices(state))
        assert_inside(state)
        state.trace = TRACES[data.draw(st.sampled_from(sorted(TRACES)))]
        assert_inside(state)


def test_another_layer_forgets_the_pair_and_the_part_on_screen():
    state = ExplorerState(TRACES["layers differ"], pair=(6, 6), viewport=(0, 1, 0, 1))

    state.layer = 1

    assert state.pair is None
    assert state.viewport is None


# -- what is computed ----------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['seed']}-{c['mask']}-{c['head']}")
def test_the_explorer_shows_the_notebooks_numbers(case):
    state = ExplorerState(toy_trace(case["T"], case["d_model"], case["heads"], case["seed"]))
    mean = case["head"] == "avg"
    state.param.update(
        mask=case["mask"],
        pad_len=case["pad_len"],
        temperature=case["temperature"],
        query_index=case["token"],
        color_seed=case["color_seed"],
        aggregate=mean,
        head=0 if mean else case["head"],
    )

    # The trace holds float32, the notebook float64: scores up to 30 in float32 err by 2e-6 times
    # the slope of the softmax, which is 1/4 at most.
    within = {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(state.selection.weights[case["token"]], case["weight_row"], **within)
    np.testing.assert_allclose(state.colours, case["colors"], **within)
    mixed = swatches_drawing(state).sources["attn:mixed"]
    shown = [float(mixed[channel][0]) for channel in ("red", "green", "blue")]
    np.testing.assert_allclose(shown, case["mixed_rgb"], **within)


def test_moving_the_token_computes_nothing_and_the_temperature_does():
    state = ExplorerState(toy_trace(T=5))
    before = state.selection

    state.query_index = 3
    assert state.selection is before
    state.temperature = 2.0
    assert state.selection is not before


def test_the_overview_is_of_this_trace_even_where_python_gives_its_id_twice(monkeypatch):
    monkeypatch.setattr("attnpanel.explorer.state.id", lambda _object: 1, raising=False)
    state = ExplorerState(toy_trace(seed=1))
    state.overview(0, 0)

    state.trace = toy_trace(seed=2)

    expected = ExplorerState(toy_trace(seed=2)).selection.weights
    np.testing.assert_allclose(state.overview(0, 0), expected, rtol=1e-6)


def test_the_overview_follows_mask_and_temperature():
    state = ExplorerState(toy_trace(T=5), temperature=3.0, mask="causal")

    np.testing.assert_allclose(state.overview(0, 0), state.selection.weights, rtol=1e-6)
    state.temperature = 0.5
    np.testing.assert_allclose(state.overview(0, 0), state.selection.weights, rtol=1e-6)


def test_recorded_weights_are_shown_as_recorded_whatever_was_chosen_before():
    trace = trace_of(call(0), recorded(1))
    state = ExplorerState(trace, mask="causal", temperature=2.0)

    state.layer = 1

    np.testing.assert_array_equal(state.selection.weights, trace.calls[1].weights(0))
