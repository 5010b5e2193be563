"""The widgets and the state follow each other."""

import numpy as np
import pytest

from attnpanel.controls import CONTROLS, DEBOUNCE_MS, Controls
from attnpanel.sources.toy import toy_trace
from attnpanel.state import ExplorerState
from tests.hand_made import call, recorded, trace_of

LABELS = {
    "layer": "Layer",
    "head": "Head",
    "aggregate": "Aggregate heads",
    "batch": "Batch",
    "query_index": "Token i",
    "temperature": "Temperature",
    "mask": "Mask",
    "pad_len": "Pad length",
    "window": "Window",
    "align": "Causal alignment",
    "empty_rows": "Empty rows",
    "weight_scale": "Colour scale",
    "skip_first": "Scale without first token",
    "color_seed": "Paint seed",
}


@pytest.fixture
def layered():
    """Two layers of different heads and lengths, under a mask that uses every control."""
    trace = trace_of(
        call(0, batch=2, heads=5, query_len=7),
        call(1, batch=2, heads=2, query_len=3, key_len=11),
    )
    return ExplorerState(trace)


def words_of(widget):
    return widget.format.args["words"]


def test_the_controls_stand_in_reading_order_with_the_labels_people_know(layered):
    controls = Controls(layered)

    assert [control.name for control in CONTROLS] == list(LABELS)
    assert {name: tip[0] for name, tip in controls.tips.items()} == LABELS
    for name, widget in controls.widgets.items():
        assert widget.label.strip() == LABELS[name]
        assert widget._debounce == DEBOUNCE_MS


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("layer", 1),
        ("head", 4),
        ("aggregate", True),
        ("batch", 1),
        ("query_index", 6),
        ("mask", "causal"),
        ("mask", "model"),
        ("pad_len", 3),
        ("window", 2),
        ("align", "bottom_right"),
        ("empty_rows", "nan"),
        ("weight_scale", "per row"),
        ("skip_first", True),
        ("color_seed", 7),
    ],
)
def test_a_widget_sets_the_state_and_the_state_the_widget(layered, name, shown):
    controls = Controls(layered)
    widget = controls.widgets[name]
    start = getattr(layered, name)

    widget.value = shown
    assert getattr(layered, name) == shown
    setattr(layered, name, start)
    assert widget.value == start


# -- temperature ---------------------------------------------------------------------------


def test_the_temperature_slider_has_41_stops_from_a_tenth_to_ten():
    state = ExplorerState(toy_trace(T=3))
    slider = Controls(state).widgets["temperature"]

    stops = np.arange(slider.start, slider.end + slider.step / 2, slider.step)
    assert len(stops) == 41
    seen = []
    for stop in stops:
        slider.value = float(stop)
        seen.append(state.temperature)
    np.testing.assert_allclose(seen, np.logspace(-1, 1, 41), rtol=1e-12)
    assert seen[20] == 1.0


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 1.13, 3.3, 10.0])
def test_a_temperature_between_two_stops_stays_as_it_was_given(temperature):
    state = ExplorerState(toy_trace(T=3))
    slider = Controls(state).widgets["temperature"]

    state.temperature = temperature

    assert state.temperature == temperature
    np.testing.assert_allclose(slider.value, np.log10(temperature), atol=1e-12)
    # Another control's move refreshes all widgets.
    state.query_index = 2
    assert state.temperature == temperature


@pytest.mark.parametrize(("temperature", "end"), [(0.01, -1.0), (50.0, 1.0)])
def test_a_temperature_beyond_the_slider_rests_at_its_end(temperature, end):
    state = ExplorerState(toy_trace(T=3))
    slider = Controls(state).widgets["temperature"]

    state.temperature = temperature

    assert (state.temperature, slider.value) == (temperature, end)


def test_the_state_one_begins_with_is_left_as_it_is():
    state = ExplorerState(toy_trace(T=3), temperature=0.7)

    assert Controls(state).widgets["temperature"].value == np.log10(0.7)
    assert state.temperature == 0.7


# -- ranges and words ----------------------------------------------------------------------


def test_ranges_and_words_are_those_of_the_layer(layered):
    widgets = Controls(layered).widgets
    assert (widgets["head"].start, widgets["head"].end) == (0, 4)
    assert (widgets["pad_len"].start, widgets["pad_len"].end) == (0, 7)

    layered.layer = 1

    assert (widgets["head"].start, widgets["head"].end) == (0, 1)
    assert (widgets["query_index"].start, widgets["query_index"].end) == (0, 2)
    assert (widgets["pad_len"].start, widgets["pad_len"].end) == (0, 11)
    assert words_of(widgets["head"]) == ["0 of 2", "1 of 2"]
    assert len(words_of(widgets["query_index"])) == 3


def test_a_token_is_told_with_its_position():
    trace = toy_trace(T=3)
    trace.set_tokens([["it", "a" * 30, "\n"]])
    state = ExplorerState(trace)

    told = words_of(Controls(state).widgets["query_index"])

    assert told == ["0 · it", "1 · " + "a" * 17 + "…", "2 · ·"]


def test_the_words_are_those_of_the_batch_entry():
    trace = trace_of(call(batch=2, query_len=2), query_tokens=[["a", "b"], ["c", "d"]])
    state = ExplorerState(trace)
    slider = Controls(state).widgets["query_index"]

    state.batch = 1

    assert words_of(slider) == ["0 · c", "1 · d"]


def test_the_masks_are_named_as_people_read_them():
    widgets = Controls(ExplorerState(trace_of(call()))).widgets

    assert widgets["mask"].options == {
        "model": "model",
        "none": "none",
        "padding": "padding",
        "causal": "causal",
        "key padding": "key_padding",
        "window": "window",
    }
    assert widgets["align"].options == {"top left": "top_left", "bottom right": "bottom_right"}


def test_another_trace_brings_its_own_masks():
    state = ExplorerState(toy_trace(T=3))
    buttons = Controls(state).widgets["mask"]
    assert "model" not in buttons.options

    state.trace = trace_of(call())

    assert "model" in buttons.options
    assert buttons.value == "model"


# -- what does nothing ---------------------------------------------------------------------


def test_a_control_is_disabled_exactly_where_it_does_nothing_and_its_tip_says_why(layered):
    controls = Controls(layered)
    settings = [{}, {"aggregate": True}, {"mask": "padding", "pad_len": 2}, {"layer": 1}]
    for chosen in [*settings, {"mask": "window"}]:
        layered.param.update(**chosen)

        idle = layered.unavailable()
        for name, widget in controls.widgets.items():
            assert widget.disabled == (name in idle), name
            expected = idle.get(name, layered.param[name].doc)
            assert controls.tips[name][1] == expected


def test_rare_controls_are_not_there_at_all_where_they_do_nothing(layered):
    controls = Controls(layered)
    visible = {name: box.visible for name, box in controls._boxes.items()}
    assert visible == {name: name not in ("window", "align") for name in LABELS}

    layered.param.update(layer=1, mask="window")

    assert all(box.visible for box in controls._boxes.values())


def test_recorded_weights_have_no_mask_or_temperature_to_choose():
    widgets = Controls(ExplorerState(trace_of(recorded()))).widgets

    assert widgets["mask"].disabled
    assert widgets["temperature"].disabled
    assert not widgets["head"].disabled


def test_a_slider_of_one_choice_has_room_and_is_disabled():
    # noUiSlider fails on an empty range.
    widgets = Controls(ExplorerState(toy_trace(T=1, d_model=2, heads=1))).widgets

    for name in ("layer", "head", "batch", "query_index"):
        assert widgets[name].start < widgets[name].end
        assert widgets[name].disabled


def test_at_one_token_no_window_can_be_chosen():
    widgets = Controls(ExplorerState(toy_trace(T=1), mask="window")).widgets

    assert widgets["window"].disabled
