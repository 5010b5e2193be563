"""The table of colour scales: where scales end, and what a row alone adds."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnpanel.explorer.weight_scales import round_up, weights_end

# A process of its own: the table is read when its users are imported.
ADDED = """
from attnpanel.explorer import weight_scales
row = weight_scales.WeightScale("cube root", "∛, 0–1", "colour by cube root", power=1 / 3)
weight_scales.WEIGHT_SCALES += (row,)

import attnpanel as ap
from attnpanel.explorer.address import apply_address
from attnpanel.explorer.views.heatmaps import weights_drawing
from attnpanel.explorer.wire_format import make_payload
from attnpanel.ui.theme import LIGHT, ramp

explorer = ap.Explorer(ap.toy_trace())
assert apply_address(explorer.state, {"scale": "cube root"}) == []
colours = weights_drawing(explorer.state).colours
assert (colours.high, colours.power) == (1.0, row.power)
assert explorer.controls.widgets["weight_scale"].options["∛, 0–1"] == "cube root"
meta = make_payload(ap.toy_trace()).meta
(on_page,) = [scale for scale in meta["scales"] if scale["name"] == "cube root"]
assert on_page["caption"] == "colour by cube root"
palette = meta["palettes"]["light"]["sequential"][on_page["ramp"]]
assert tuple(palette) == colours.palette == ramp(LIGHT.sequential, power=1 / 3)
assert explorer.bridge.component.choices["weight_scale"][-1] == "cube root"
"""


@pytest.mark.thorough
@pytest.mark.slow
def test_a_row_adds_a_colour_scale():
    made = subprocess.run(
        [sys.executable, "-c", ADDED], check=False, capture_output=True, text=True
    )

    assert made.returncode == 0, made.stderr


@given(st.floats(1e-6, 1e30))
def test_a_scale_ends_at_a_round_number_not_far_above_what_it_holds(peak):
    end = round_up(peak)

    assert peak * (1 - 1e-6) <= end <= 1.34 * peak
    assert len(f"{end:e}".split("e")[0].rstrip("0")) <= 3  # as 2.5


@pytest.mark.parametrize("nothing", [0.0, 1e-9, float("nan")])
def test_a_scale_of_nothing_ends_at_1(nothing):
    assert round_up(nothing) == weights_end(nothing, held=False) == 1


@pytest.mark.parametrize(
    ("peak", "held", "own"), [(0.3, 1, 0.3), (1.0, 1, 1), (1.0000001, 1, 1), (1.7, 2, 2)]
)
def test_held_scales_end_at_1_unless_a_weight_is_above(peak, held, own):
    assert weights_end(peak, held=True) == held
    assert weights_end(peak, held=False) == own
