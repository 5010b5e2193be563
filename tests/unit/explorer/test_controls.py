"""The widgets offer what the state allows; what they show and say is the page's."""

import numpy as np
import pytest

from attnpanel.attention.mask_table import MASKS, mask_parameters
from attnpanel.explorer.controls import CONTROLS, Controls
from attnpanel.explorer.state import ExplorerState
from attnpanel.models.toy import toy_trace
from tests.hand_made import call, trace_of

LABELS = {
    "layer": "Layer",
    "head": "Head",
    "aggregate": "Mean of heads",
    "query_index": "Token",
    "temperature": "Temperature",
    "mask": "Mask",
    "weight_scale": "Colour scale",
    **{name: row.label for name, row in mask_parameters().items()},
    "align": "Causal alignment",
    "empty_rows": "Empty rows",
    "batch": "Batch",
    "skip_first": "Scale without first token",
    "color_seed": "Paint seed",
}


@pytest.fixture
def layered():
    """Two layers of different heads and lengths."""
    trace = trace_of(
        call(0, batch=2, heads=5, query_len=7),
        call(1, batch=2, heads=2, query_len=3, key_len=11),
    )
    return ExplorerState(trace, layer=1, head=1, temperature=0.1, mask="causal")


def test_the_controls_stand_in_reading_order_with_the_labels_people_know(layered):
    controls = Controls(layered)

    assert [control.name for control in CONTROLS] == list(LABELS) == list(controls.widgets)
    for name, widget in controls.widgets.items():
        assert widget.label.strip() == LABELS[name]


def test_they_open_at_the_state_within_the_ranges_of_its_layer(layered):
    widgets = Controls(layered).widgets

    assert (widgets["layer"].value, widgets["head"].value) == (1, 1)
    assert (widgets["head"].start, widgets["head"].end) == (0, 1)
    assert (widgets["query_index"].start, widgets["query_index"].end) == (0, 2)
    assert (widgets["pad_len"].start, widgets["pad_len"].end) == (0, 11)
    assert widgets["mask"].value == "causal"


def test_the_temperature_slider_has_41_stops_from_a_tenth_to_ten(layered):
    slider = Controls(layered).widgets["temperature"]

    stops = np.arange(slider.start, slider.end + slider.step / 2, slider.step)
    assert len(stops) == 41
    np.testing.assert_allclose(10 ** stops[[0, 20, 40]], [0.1, 1.0, 10.0], rtol=1e-12)
    assert slider.value == -1


@pytest.mark.parametrize(("temperature", "end"), [(0.01, -1.0), (50.0, 1.0)])
def test_a_temperature_beyond_the_slider_rests_at_its_end(temperature, end):
    state = ExplorerState(toy_trace(T=3), temperature=temperature)

    assert Controls(state).widgets["temperature"].value == end
    assert state.temperature == temperature


def test_the_masks_are_named_as_people_read_them():
    widgets = Controls(ExplorerState(trace_of(call()))).widgets

    assert widgets["mask"].options == {"as the model": "model"} | {
        row.label: row.kind for row in MASKS
    }
    assert widgets["mask"].options["key padding"] == "key_padding"
    assert widgets["align"].options == {"top left": "top_left", "bottom right": "bottom_right"}


def test_another_trace_brings_its_own_masks():
    state = ExplorerState(toy_trace(T=3))
    controls = Controls(state)
    assert "as the model" not in controls.widgets["mask"].options

    state.trace = trace_of(call())
    controls.refresh()

    assert "as the model" in controls.widgets["mask"].options
    assert controls.widgets["mask"].value == "model"


def test_rare_controls_wait_until_the_page_has_a_use_for_them(layered):
    hidden = {
        css.removeprefix("attn-hides-")
        for box in Controls(layered).rare
        for css in box.css_classes
        if css.startswith("attn-hides-") and not box.visible
    }

    assert hidden == {"batch", "align", *mask_parameters()} - {"pad_len"}


def test_a_slider_of_one_choice_has_room():
    # noUiSlider fails on an empty range.
    widgets = Controls(ExplorerState(toy_trace(T=1, d_model=2, heads=1))).widgets

    for name in ("layer", "head", "batch", "query_index"):
        assert widgets[name].start < widgets[name].end
