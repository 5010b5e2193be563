"""The table of views, and what its rows promise."""

import ast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.views import VIEWS
from tests.hand_made import varied_traces

SOURCES = {
    "scores": {"attn:scores"},
    "weights": {"attn:weights"},
    "output": {"attn:output"},
    "row": {"attn:row", "attn:row:labels"},
    "entropy": {"attn:entropy:most", "attn:entropy", "attn:entropy:labels"},
    "swatches": {
        "attn:swatches",
        "attn:swatches:tracks",
        "attn:swatches:bars",
        "attn:swatches:names",
        "attn:swatches:weights",
        "attn:mixed",
        "attn:mixed:name",
    },
    "grid": {"attn:grid"},
    "lines": {"attn:lines", "attn:lines:queries", "attn:lines:keys", "attn:lines:heads"},
}
TRACES = varied_traces()
IMAGE = {"image", "x", "y", "dw", "dh"}


def states():
    """Every trace, each with an ordinary and an unusual setting."""
    for name, trace in TRACES.items():
        yield name, ExplorerState(trace)
        unusual = {"mask": "padding", "pad_len": 0, "empty_rows": "nan", "weight_scale": "per row"}
        yield f"{name}, unusual", ExplorerState(trace, aggregate=True, dark=True, **unusual)


STATES = dict(states())


def test_every_drawing_function_has_its_row(root):
    defined = {
        node.name
        for path in (root / "attnpanel" / "explorer" / "views").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and node.name.endswith("_drawing")
        and not node.name.startswith("_")
    }

    drawings = {draw for view in VIEWS for draw in (view.draw, view.empty) if draw is not None}
    assert {draw.__name__ for draw in drawings} == defined
    assert len({view.name for view in VIEWS}) == len(VIEWS)


def test_every_dependency_is_a_choice_of_the_state():
    for view in VIEWS:
        assert {*view.depends, *view.moves} <= set(ExplorerState.param)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_drawing_has_its_named_sources_of_equally_long_columns(view, state):
    drawing = view.draw(state)

    assert set(drawing.sources) == SOURCES[view.name]
    for name, columns in drawing.sources.items():
        assert len({len(column) for column in columns.values()}) == 1, name
        if "image" in columns:
            assert columns.keys() - {"exact"} == IMAGE
            assert {image.ndim for image in columns["image"]} == {2}
        elif "text" in columns:
            assert columns.keys() == {"x", "y", "text", "color"}
        else:
            assert columns.keys() >= {"left", "right", "top", "bottom", "color"}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_what_places_a_glyph_is_a_finite_number(view, state):
    drawing = view.draw(state)

    for columns in drawing.sources.values():
        for name in ("x", "y", "dw", "dh", "left", "right", "top", "bottom"):
            assert np.isfinite(np.asarray(columns.get(name, []), dtype=float)).all(), name
    assert drawing.x[0] != drawing.x[1]
    assert drawing.y[0] != drawing.y[1]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_an_image_carries_a_type_that_bokeh_sends_as_bytes(view, state):
    for columns in view.draw(state).sources.values():
        for image in columns.get("image", []):
            assert image.dtype == np.float32
            assert image.flags.c_contiguous


def same(one, other):
    """Whether two drawings hold the same data."""
    try:
        np.testing.assert_equal(dict(one.sources), dict(other.sources))
    except AssertionError:
        return False
    return (one.x, one.y, one.colours, one.x_labels, one.y_labels, one.height, one.theme) == (
        other.x, other.y, other.colours, other.x_labels, other.y_labels, other.height, other.theme
    )  # fmt: skip


@st.composite
def a_change(draw, state):
    """The name of a choice, after another value of it has been set."""
    numbers = ("layer", "head", "batch", "query_index", "pad_len", "window")
    choice = {name: st.integers(*state.param[name].bounds) for name in numbers}
    for name in ("mask", "align", "empty_rows", "weight_scale"):
        choice[name] = st.sampled_from(state.param[name].objects)
    choice["temperature"] = st.floats(0.1, 10)
    choice["color_seed"] = st.integers(0, 9)
    choice["aggregate"] = choice["dark"] = choice["skip_first"] = st.booleans()
    choice["lines_of_token"] = st.booleans()
    choice["line_heads"] = st.sampled_from([(), (0,), (1, 2)])
    choice["line_token"] = st.sampled_from([None, (0, 1), (1, 0), (1, 99)])
    choice["viewport"] = st.sampled_from([None, (-0.5, 1.5, 1.5, -0.5)])
    name = draw(st.sampled_from(sorted(choice)))
    changed = set()
    state.param.watch(lambda *events: changed.update(e.name for e in events), list(choice))
    setattr(state, name, draw(choice[name]))
    return changed


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_a_view_does_not_depend_on_does_not_change_it(data):
    state = ExplorerState(TRACES[data.draw(st.sampled_from(sorted(TRACES)))])
    data.draw(a_change(state))
    before = {view.name: view.draw(state) for view in VIEWS}

    changed = data.draw(a_change(state))

    for view in VIEWS:
        if not changed.intersection(view.depends):
            assert same(view.draw(state), before[view.name]), view.name
            if not changed.intersection(view.moves):
                assert view.draw(state).outline == before[view.name].outline, view.name
