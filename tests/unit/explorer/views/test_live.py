"""explorer.views: pictures that can be composed, follow the state, and say what they can't show."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import panel as pn
import pytest

import attnpanel as ap
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views import VIEWS
from attnpanel.explorer.views.live import LiveViews
from tests.hand_made import call, trace_of

NAMES = [view.name for view in VIEWS]


@pytest.fixture
def state():
    return ExplorerState(ap.toy_trace(T=7, d_model=6, heads=3))


@pytest.fixture
def views(state):
    return LiveViews(state)


def rendered(composed):
    return hv.renderer("bokeh").get_plot(composed).state


def columns(plot):
    """The data of every source of a rendered plot, by the source's name."""
    return {
        renderer.data_source.name: renderer.data_source.data
        for figure in plot.references()
        if hasattr(figure, "toolbar") and hasattr(figure, "renderers")
        for renderer in figure.renderers
        if hasattr(renderer, "data_source")
    }


def test_every_view_is_a_dynamic_map_by_its_name(views):
    assert list(views) == NAMES
    for name in NAMES:
        assert isinstance(getattr(views, name), hv.DynamicMap)
        assert getattr(views, name) is getattr(views, name)
        assert name in dir(views)


def test_a_view_that_does_not_exist_is_an_error_that_names_those_that_do(views):
    with pytest.raises(AttributeError, match=r"one of scores, weights, .*; got 'weigths'"):
        views.weigths  # noqa: B018 - the asking is what fails


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("name", NAMES)
def test_a_view_follows_the_state(views, state, name):
    view = next(view for view in VIEWS if view.name == name)
    plot = rendered(getattr(views, name))

    state.param.update(head=2, query_index=4, temperature=0.5, mask="causal")

    got = columns(plot)
    for source, wanted in view.draw(state).sources.items():
        for column, values in wanted.items():
            if column == "image":
                np.testing.assert_array_equal(got[source][column][0], values[0])
            else:
                assert list(got[source][column]) == list(values)


def test_the_outline_follows_the_token(views, state):
    plot = rendered(views.weights)

    state.query_index = 3

    (box,) = [one for one in plot.center if one.name == "attn:outline"]
    assert (box.bottom, box.top) == (2.5, 3.5)


def test_views_compose_side_by_side_and_on_top_of_each_other(views, state):
    beside = rendered(views.scores + views.weights + views.row)
    above = rendered(views.weights * hv.HLine(2))

    state.head = 1

    weights = next(view for view in VIEWS if view.name == "weights").draw(state)
    for plot in (beside, above):
        shown = columns(plot)["attn:weights"]["image"][0]
        np.testing.assert_array_equal(shown, weights.sources["attn:weights"]["image"][0])
    assert {"attn:scores", "attn:weights", "attn:row"} <= set(columns(beside))


def test_views_are_shown_in_a_notebook_cell(views, state):
    pane = pn.pane.HoloViews(views.scores + views.weights)
    root = pane.get_root()

    state.temperature = 0.2

    shown = columns(root)["attn:weights"]["image"][0]
    np.testing.assert_allclose(shown, state.selection.weights)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("name", NAMES)
def test_what_can_not_be_shown_is_said_and_gone_when_it_can(name):
    bad = call(0, heads=2)
    query = bad.query.copy()
    query[0, 1] = np.nan
    query.flags.writeable = False
    object.__setattr__(bad, "query", query)
    state = ExplorerState(trace_of(bad))
    views = LiveViews(state)
    plot = rendered(getattr(views, name))
    # Some read all heads; the others only the one on screen.
    reads_all = name in {"grid", "lines"}
    assert (plot.title is None) == (not reads_all)

    state.head = 1
    if reads_all:
        state.temperature = 0.5
    assert plot.title.text.startswith("This can't be shown: ")

    if not reads_all:
        state.head = 0
        assert plot.title is None


def test_an_explorer_has_its_views(state):
    explorer = ap.Explorer(ap.toy_trace(), head=2)
    plot = rendered(explorer.views.weights)

    explorer.state.head = 1

    shown = columns(plot)["attn:weights"]["image"][0]
    np.testing.assert_array_equal(shown, explorer.state.selection.weights)
