"""The explorer's plots as they are before the page draws into them."""

import pytest
from bokeh.models import Column

from attnpanel.explorer.figures import explorer_figures
from attnpanel.explorer.state import ExplorerState
from attnpanel.models.toy import toy_trace
from tests.hand_made import call, trace_of

NAMES = ("scores", "weights", "output", "row", "entropy", "grid", "lines", "swatches")


@pytest.fixture(scope="module")
def figures():
    return explorer_figures(ExplorerState(toy_trace(T=5)), "x")


def test_every_plot_and_source_has_its_documented_name(figures):
    assert list(figures) == list(NAMES)
    for name, plot in figures.items():
        assert plot.name == f"attn:plot:{name}"
        assert f"attn:{name}" in {renderer.data_source.name for renderer in plot.renderers}


def test_plots_share_equal_parts_that_hold_no_state_and_no_other(figures):
    axes = [axis for plot in figures.values() for axis in (*plot.xaxis, *plot.yaxis)]
    renderers = [renderer for plot in figures.values() for renderer in plot.renderers]

    assert len({axis.major_label_policy.id for axis in axes}) == 1
    assert len({plot.x_scale.id for plot in figures.values()}) == 1
    assert len({renderer.view.id for renderer in renderers}) == len(renderers)


def test_scores_weights_and_output_zoom_together(figures):
    scores, weights, output = (figures[name] for name in ("scores", "weights", "output"))

    assert weights.x_range is scores.x_range
    assert weights.y_range is scores.y_range is output.y_range


def test_each_explorer_has_figures_of_its_own(figures):
    other = explorer_figures(ExplorerState(toy_trace(T=5)), "other")
    mine, its = (
        {model.id for model in Column(*made.values()).references()} for made in (figures, other)
    )

    assert len(mine) == len(its)
    assert not mine & its
    (tap,) = other["weights"].js_event_callbacks["tap"]
    assert tap.args == {"explorer_id": "other", "view": "weights", "kind": "tap"}


@pytest.mark.parametrize(("length", "step"), [(15, (1, 1)), (23, (2, 2)), (97, (10, 5))])
def test_a_label_has_the_pixels_of_a_line(length, step):
    figures = explorer_figures(ExplorerState(toy_trace(T=length)), "x")

    axes = (figures["weights"].xaxis[0], figures["scores"].yaxis[0])
    assert tuple(axis.ticker.min_interval for axis in axes) == step
    for axis in axes:
        assert axis.formatter.args["labels"] == [f"t{index}" for index in range(length)]


def test_the_overview_is_as_high_as_its_layers():
    heights = [
        explorer_figures(ExplorerState(trace_of(*map(call, range(count)))), "x")["grid"].height
        for count in (1, 3)
    ]

    assert heights[0] < heights[1]


def test_nothing_is_computed_of_a_layer_that_is_too_large_for_the_page(monkeypatch):
    state = ExplorerState(toy_trace(T=5))
    monkeypatch.setattr("attnpanel.explorer.page_limits.MAX_CELLS", 24)

    explorer_figures(state, "x")

    assert state._selection is None
    monkeypatch.undo()
    explorer_figures(state, "x")
    assert state._selection is not None
