"""Explorer: one component, in a plain Python process; the browser's side is tests/browser."""

import numpy as np
import pytest
from bokeh.models import Plot, Slider

from attnpanel.explorer.explorer import Explorer
from attnpanel.models.toy import toy_trace
from tests.hand_made import call, recorded, trace_of

NAMES = ("scores", "weights", "output", "row", "entropy", "swatches", "grid", "lines")


@pytest.fixture(scope="module")
def made():
    """Two layers of 5 and 2 heads, made once, which takes a second."""
    return Explorer(trace_of(call(0, heads=5, query_len=7), call(1, heads=2, query_len=7)))


def sources_of(root):
    return {
        renderer.data_source.name: renderer.data_source
        for plot in root.select({"type": Plot})
        for renderer in plot.renderers
    }


def test_it_renders_in_a_plain_process_more_than_once(made):
    for _ in range(2):
        root = made.__panel__().get_root()
        found = {plot.name for plot in root.select({"type": Plot})}
        assert found == {f"attn:plot:{name}" for name in NAMES}


def test_the_sources_are_found_by_name_and_hold_no_matrix(made):
    sources = sources_of(made.__panel__().get_root())

    assert {f"attn:{name}" for name in NAMES} <= set(sources)
    for name in ("scores", "weights", "output", "grid"):
        np.testing.assert_array_equal(sources[f"attn:{name}"].data["image"][0], [[np.nan]])


def test_choices_may_be_given_where_it_is_made():
    explorer = Explorer(trace_of(call(0, heads=2), call(1, heads=5)), layer=1, head=4)

    assert (explorer.state.layer, explorer.state.head) == (1, 4)
    assert explorer.bridge.component.state["head"] == 4


def test_a_choice_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="head"):
        Explorer(toy_trace(heads=2), head=2)


@pytest.mark.parametrize(
    "trace",
    [
        toy_trace(T=1, d_model=2, heads=1),
        trace_of(recorded()),
        trace_of(call(values=False)),
        trace_of(call(heads=6, kv_heads=2, query_len=3, key_len=7)),
    ],
    ids=["one token", "recorded", "no values", "grouped cross"],
)
def test_any_trace_is_laid_out_without_a_warning(trace):
    explorer = Explorer(trace)
    explorer.state.aggregate = explorer.state.call.heads > 1
    explorer.state.dark = True

    assert explorer.__panel__().get_root() is not None


@pytest.mark.parametrize("drawn_by", ["python", "page"])
def test_python_listens_whatever_page_it_is(drawn_by):
    explorer = Explorer(toy_trace(T=2), drawn_by=drawn_by)

    assert explorer.bridge.component.listens


def test_a_file_is_handed_its_trace_by_who_writes_it():
    assert Explorer(toy_trace(T=2), drawn_by="file").bridge is None


# -- from Python to the page -----------------------------------------------------------------


def test_a_choice_is_told_to_the_page(made):
    before = made.bridge.component.state["push"]

    made.state.param.update(layer=1, head=1, query_index=3)

    told = made.bridge.component.state
    assert (told["layer"], told["head"], told["query_index"]) == (1, 1, 3)
    assert told["push"] > before


def test_another_trace_takes_notes_numbers_and_options_with_it():
    explorer = Explorer(toy_trace(T=3))
    before = explorer.head_maps.component.numbers["trace"]

    explorer.state.trace = trace_of(call(0, heads=2))

    assert explorer.bridge.component.meta["calls"][0]["H"] == 2
    assert "as the model" in explorer.controls.widgets["mask"].options
    assert explorer.head_maps.component.numbers["trace"] > before
    assert explorer.notes == ()


def test_a_dark_page_is_dark_before_it_draws(made):
    made.set_dark(True)
    try:
        assert "attn-dark" in made.__panel__().css_classes
        assert made.interaction.dark
        assert not made.interaction.asks_theme
        assert made.address["theme"] == "dark"
    finally:
        made.set_dark(False)
    assert "attn-light" in made.__panel__().css_classes


def test_the_page_writes_the_address_where_the_explorer_has_it_to_itself():
    explorer = Explorer(toy_trace(T=2), whole_page=True)
    assert explorer.bridge.component.address == {}

    explorer.hold_address()
    explorer.address = {"source": "toy"}
    assert explorer.bridge.component.address is None
    explorer.refresh_address()
    assert explorer.bridge.component.address == {"source": "toy"}


def test_one_explorer_among_others_leaves_the_address_alone():
    assert Explorer(toy_trace(T=2)).bridge.component.address is None


def test_hostile_tokens_reach_only_components_that_show_text(made):
    hostile = "</script><img src=x onerror=alert(1)>"
    trace = toy_trace(T=3)
    trace.set_tokens([[hostile] * 3])
    explorer = Explorer(trace)

    root = explorer.__panel__().get_root()

    carriers = set()
    for model in root.references():
        if type(model).__name__ in ("HTML", "Markdown", "Div", "Paragraph", "PreText"):
            carriers.add(getattr(model, "text", ""))
    assert not any("onerror" in carrier for carrier in carriers)
    for slider in root.select({"type": Slider}):
        assert hostile not in str(slider.title)
