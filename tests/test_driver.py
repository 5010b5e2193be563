"""The Python driver: a patched plot is the plot one would draw anew."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from attnpanel.driver import PythonDriver
from attnpanel.sources.toy import toy_trace
from attnpanel.state import ExplorerState
from attnpanel.views.heatmaps import MOST_CELLS
from tests.hand_made import call, trace_of, varied_traces

# A new driver draws six plots, which takes half a second: few examples, many changes in each.
few = settings(
    max_examples=3,
    deadline=None,
    # Shrinking would draw for minutes; what an example did is printed whole.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
TRACES = varied_traces()
NUMBERS = ("head", "batch", "query_index", "pad_len", "window")


class Kept:
    """A state and its driver, updated at every change as the explorer does."""

    def __init__(self, trace):
        self.state = ExplorerState(trace)
        self.driver = PythonDriver(self.state, "kept")
        watched = [name for name in self.state.param if name != "name"]
        self.state.param.watch(
            lambda *events: self.driver.update({e.name for e in events}), watched
        )


@pytest.fixture(scope="module")
def toy():
    return Kept(toy_trace(T=5))


def sides_of(box):
    return box.left, box.right, box.top, box.bottom


def furniture(driver):
    """All that a reader can see of the plots besides their data."""
    seen = {}
    for name, plot in driver.figures.items():
        axes = {}
        for side, axis in (("x", plot.xaxis[0]), ("y", plot.yaxis[0])):
            labels = axis.formatter.args["labels"] if axis.visible else None
            ticker = axis.ticker
            density = (ticker.desired_num_ticks, ticker.min_interval) if labels else None
            axes[side] = (axis.visible, labels, density)
        ranges = [
            (r.start, r.end, r.reset_start, r.reset_end, tuple(r.bounds))
            for r in (plot.x_range, plot.y_range)
        ]
        boxes = {
            box.name: (
                [side if isinstance(side, float) else "edge" for side in sides_of(box)],
                box.line_color,
                box.fill_color,
                box.visible,
            )
            for box in plot.center
            if str(getattr(box, "name", "")).startswith("attn:")
        }
        mapper = [
            (m.low, m.high, list(m.palette), m.nan_color)
            for m in (getattr(r.glyph, "color_mapper", None) for r in plot.renderers)
            if m is not None
        ]
        # The height of a plot without one of its own is its frame's.
        height = plot.height if name in ("row", "swatches", "grid") else plot.frame_height
        seen[name] = {
            "axes": axes,
            "ranges": ranges,
            "boxes": boxes,
            "mapper": mapper,
            "height": height,
        }
    return seen


def data_of(driver):
    return {
        renderer.data_source.name: dict(renderer.data_source.data)
        for plot in driver.figures.values()
        for renderer in plot.renderers
    }


@st.composite
def changes(draw, state):
    """One to four changes of a state, another trace among them."""
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            state.trace = TRACES[draw(st.sampled_from(sorted(TRACES)))]
        state.layer = draw(st.integers(*state.param["layer"].bounds))
        chosen = {name: draw(st.integers(*state.param[name].bounds)) for name in NUMBERS}
        for name in ("mask", "align", "empty_rows", "weight_scale"):
            chosen[name] = draw(st.sampled_from(state.param[name].objects))
        state.param.update(
            **chosen,
            temperature=draw(st.floats(0.1, 10)),
            aggregate=draw(st.booleans()),
            skip_first=draw(st.booleans()),
            dark=draw(st.booleans()),
            color_seed=draw(st.integers(0, 9)),
        )


@few
@given(st.data())
def test_a_patched_plot_is_the_one_that_is_drawn_anew(data):
    kept = Kept(TRACES[data.draw(st.sampled_from(sorted(TRACES)))])

    data.draw(changes(kept.state))

    anew = PythonDriver(kept.state, "anew")
    np.testing.assert_equal(data_of(kept.driver), data_of(anew))
    assert furniture(kept.driver) == furniture(anew)


@pytest.mark.parametrize(
    ("first", "then"),
    [("recorded", "grouped keys"), ("grouped keys", "recorded"), ("no values", "toy")],
)
def test_what_was_missing_is_drawn_once_it_is_there(first, then):
    kept = Kept(TRACES[first])

    kept.state.trace = TRACES[then]

    anew = PythonDriver(kept.state, "anew")
    np.testing.assert_equal(data_of(kept.driver), data_of(anew))
    assert furniture(kept.driver) == furniture(anew)


def test_every_source_is_found_by_its_documented_name(toy):
    for name in ("scores", "weights", "output", "row", "swatches", "grid"):
        assert toy.driver.source(f"attn:{name}").name == f"attn:{name}"
        assert toy.driver.figures[name].name == f"attn:plot:{name}"


def written_by(kept, **change):
    """The sources whose data changes with a change of the state; Bokeh keeps equal data."""
    names = data_of(kept.driver)
    before = {name: kept.driver.source(name).data for name in names}
    kept.state.param.update(**change)
    return {name for name in names if kept.driver.source(name).data is not before[name]}


SWATCHES = {
    "attn:swatches",
    "attn:swatches:tracks",
    "attn:swatches:bars",
    "attn:swatches:names",
    "attn:swatches:weights",
    "attn:mixed",
    "attn:mixed:name",
}
ROW = {"attn:row", "attn:row:labels"}
MATRICES = {"attn:scores", "attn:weights", "attn:output"}


@pytest.mark.parametrize(
    ("change", "written", "may_be"),
    [
        ({"query_index": 3}, {"attn:row", "attn:swatches", "attn:mixed"}, ROW | SWATCHES),
        ({"color_seed": 5}, {"attn:swatches", "attn:mixed"}, SWATCHES),
        ({"weight_scale": "per row"}, {"attn:weights"}, set()),
        # Relative to their row, the numbers that are drawn change with it.
        ({"skip_first": True, "weight_scale": "per row"}, {"attn:weights"}, {"attn:scores"}),
        ({"pair": (1, 2)}, set(), set()),
        (
            {"temperature": 2.0},
            {"attn:weights", "attn:output", "attn:grid", "attn:row", "attn:swatches"},
            ROW | SWATCHES,
        ),
        ({"head": 1}, {*MATRICES, "attn:row", "attn:swatches", "attn:mixed"}, ROW | SWATCHES),
        ({"viewport": (0, 1, 0, 1)}, MATRICES, set()),
    ],
    ids=["token", "paint", "scale", "first token", "pair", "temperature", "head", "zoom"],
)
def test_a_change_writes_the_sources_that_depend_on_it_and_no_other(toy, change, written, may_be):
    toy.state.param.update(**{name: toy.state.param[name].default for name in change})

    got = written_by(toy, **change)

    assert written <= got <= written | may_be


def test_moving_the_token_moves_the_outline_of_the_three_pictures(toy):
    toy.state.query_index = 2

    for name in ("scores", "weights", "output"):
        assert outline_of(toy, name)[2:] == (1.5, 2.5)


def outline_of(kept, name):
    (box,) = (b for b in kept.driver.figures[name].center if b.name == "attn:outline")
    return box.left, box.right, box.bottom, box.top


def test_the_overviews_outline_follows_head_layer_and_mean():
    kept = Kept(trace_of(call(0), call(1)))

    kept.state.head = 2
    assert outline_of(kept, "grid") == (1.5, 2.5, -0.5, 0.5)
    kept.state.layer = 1
    assert outline_of(kept, "grid") == (1.5, 2.5, 0.5, 1.5)
    kept.state.aggregate = True
    assert outline_of(kept, "grid") == (-0.5, 2.5, 0.5, 1.5)


def test_every_token_is_named_where_all_names_fit_and_on_zoom_where_not():
    kept = Kept(toy_trace(T=23))
    for axis in (kept.driver.figures["weights"].xaxis[0], kept.driver.figures["scores"].yaxis[0]):
        # More names than tokens would fit, and no finer than one for each position.
        assert (axis.ticker.desired_num_ticks, axis.ticker.min_interval) == (24, 1)

    kept.state.trace = toy_trace(T=97)

    for axis in (kept.driver.figures["weights"].xaxis[0], kept.driver.figures["scores"].yaxis[0]):
        # Fewer names than tokens, down to one for each position when zoomed in.
        assert (axis.ticker.desired_num_ticks, axis.ticker.min_interval) == (14, 1)
        assert axis.formatter.args["labels"] == [f"t{index}" for index in range(97)]


def test_only_masked_cells_are_hatched_not_scores_that_were_never_kept():
    kept = Kept(TRACES["recorded and live"])

    def hatched():
        return {
            name: box.visible
            for name in ("scores", "weights", "output")
            for box in kept.driver.figures[name].center
            if box.name == "attn:masked"
        }

    assert hatched() == {"scores": False, "weights": True, "output": False}
    kept.state.layer = 1
    assert hatched() == {"scores": True, "weights": True, "output": True}


def test_views_that_are_left_for_later_are_not_written(toy):
    before = toy.driver.source("attn:grid").data

    toy.driver.update({"temperature"}, only=("weights",))

    assert toy.driver.source("attn:grid").data is before


def test_a_patched_plot_keeps_its_colour_mapper(toy):
    # Bokeh repaints nothing where a mapper is replaced.
    mapper = toy.driver.figures["weights"].renderers[0].glyph.color_mapper

    toy.state.dark = not toy.state.dark

    assert toy.driver.figures["weights"].renderers[0].glyph.color_mapper is mapper


def test_scores_weights_and_output_zoom_together(toy):
    scores, weights, output = (toy.driver.figures[n] for n in ("scores", "weights", "output"))

    assert weights.x_range is scores.x_range
    assert weights.y_range is scores.y_range is output.y_range


def test_a_zoomed_plot_stays_where_it_is_until_the_shape_changes(toy):
    plot = toy.driver.figures["scores"]
    assert toy.driver.viewport() is None

    plot.x_range.update(start=0.5, end=2.5)
    plot.y_range.update(start=3.5, end=1.5)
    toy.state.temperature = 3.0

    assert toy.driver.viewport() == (0.5, 2.5, 3.5, 1.5)
    toy.state.trace = toy_trace(T=7)
    assert toy.driver.viewport() is None
    assert (plot.x_range.start, plot.x_range.end) == (-0.5, 6.5)
    toy.state.trace = toy_trace(T=5)


def test_another_layer_of_the_same_shape_is_drawn_for_the_part_on_screen():
    length = MOST_CELLS + 89
    layers = (call(i, heads=1, query_len=length, values=False) for i in range(2))
    kept = Kept(trace_of(*layers))
    plot = kept.driver.figures["scores"]
    plot.x_range.update(start=9.5, end=39.5)
    plot.y_range.update(start=29.5, end=9.5)
    kept.state.viewport = kept.driver.viewport()

    kept.state.layer = 1

    shown = kept.driver.source("attn:weights").data["image"][0]
    if kept.driver.viewport() is None:
        assert kept.state.viewport is None
    else:
        np.testing.assert_array_equal(shown, kept.state.selection.weights[10:30, 10:40])
