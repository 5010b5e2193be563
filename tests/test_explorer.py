"""Explorer: one component, in a plain Python process; the browser's side is tests/browser."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.models import Plot, Slider

from attnpanel.explorer import Explorer
from attnpanel.sources.toy import toy_trace
from attnpanel.trace import AttentionCall
from attnpanel.views.heatmaps import MOST_CELLS
from tests.hand_made import call, from_scores, recorded, trace_of

NAMES = ("scores", "weights", "output", "row", "swatches", "grid")


@pytest.fixture(scope="module")
def made():
    """Two layers of 5 and 2 heads; drawn once, which takes a second."""
    trace = trace_of(
        call(0, heads=5, query_len=7),
        call(1, heads=2, query_len=7),
        call(2, heads=2, query_len=3, key_len=11),
    )
    return Explorer(trace)


@pytest.fixture
def explorer(made):
    """As it starts."""
    made.state.param.update(layer=0, pair=None, viewport=None)
    made.state.param.update(head=0, aggregate=False, query_index=0, mask="model", temperature=1.0)
    made.interaction.asks_theme = False
    return made


def send(explorer, message):
    explorer._on_message(SimpleNamespace(data=message))


def choices(explorer):
    state = explorer.state
    return {name: getattr(state, name) for name in state.param if name != "name"}


def text(explorer):
    return " ".join(piece[1] for piece in explorer._sentence.pieces)


# -- making one ----------------------------------------------------------------------------


def test_it_renders_in_a_plain_process_more_than_once(made):
    for _ in range(2):
        root = made.__panel__().get_root()
        found = {plot.name for plot in root.select({"type": Plot})}
        assert found == {f"attn:plot:{name}" for name in NAMES}


def test_the_sources_are_found_by_name_in_what_a_page_gets(made):
    root = made.__panel__().get_root()

    for name in NAMES:
        assert root.select_one({"name": f"attn:{name}"}) is made.driver.source(f"attn:{name}")


def test_choices_may_be_given_where_it_is_made():
    explorer = Explorer(trace_of(call(0, heads=2), call(1, heads=5)), layer=1, head=4)

    assert (explorer.state.layer, explorer.state.head) == (1, 4)


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
def test_any_trace_is_drawn_without_a_warning(trace):
    explorer = Explorer(trace)
    explorer.state.aggregate = explorer.state.call.heads > 1
    explorer.state.dark = True

    assert not explorer.notice.visible
    assert explorer.__panel__().get_root() is not None


# -- what follows a choice -----------------------------------------------------------------


def test_a_choice_changes_the_pictures_the_words_and_the_link(explorer):
    before = np.array(explorer.driver.source("attn:weights").data["image"][0])
    before_text = text(explorer)

    explorer.state.param.update(layer=1, head=1, query_index=3)

    after = explorer.driver.source("attn:weights").data["image"][0]
    np.testing.assert_array_equal(after, explorer.state.call.weights(1))
    assert not np.array_equal(before, after)
    assert text(explorer) != before_text
    assert explorer.tokens.content["selected"] == 3
    assert explorer._words["row"].text == "Where “3” looks"
    assert "layer 1, head 1" in explorer._words["numbers"].text
    assert "layer=1&head=1&token=3" in explorer.interaction.address


def test_the_overview_follows_too(explorer):
    before = np.array(explorer.driver.source("attn:grid").data["image"][0])

    explorer.state.mask = "causal"

    assert not np.array_equal(before, explorer.driver.source("attn:grid").data["image"][0])


def test_the_numbers_beneath_the_overview_are_those_of_the_head(explorer):
    explorer.state.param.update(mask="window", window=1)

    # Each token sees itself alone: no choice, no distance.
    assert explorer._words["numbers"].text.endswith("entropy 0.00 nats · distance 0.0")
    explorer.state.param.update(mask="none", temperature=100.0)
    entropy = float(explorer._words["numbers"].text.split("entropy ")[1].split()[0])
    np.testing.assert_allclose(entropy, np.log(7), atol=0.01)


def test_the_distance_is_told_from_where_the_queries_stand():
    # Two queries at places 3 and 4 of five keys, each looking at itself; then at another text.
    scores = np.where(np.eye(2, 5, k=3, dtype=bool), 60, 0)
    step = from_scores(scores, kind="self", q_offset=3)

    texts = [
        Explorer(trace_of(one))._words["numbers"].text
        for one in (step, replace(step, kind="cross"))
    ]

    assert texts == [
        "layer 0, head 0 · entropy 0.00 nats · distance 0.0",
        "layer 0, head 0 · entropy 0.00 nats",
    ]


def test_a_move_of_the_pointer_changes_the_sentence_alone(explorer):
    before = {name: explorer.driver.source(f"attn:{name}").data for name in NAMES}

    explorer.state.pair = (2, 5)

    assert text(explorer).startswith("2 → 5 ")
    for name in NAMES:
        assert explorer.driver.source(f"attn:{name}").data is before[name]


def test_what_cannot_be_shown_is_a_sentence_on_the_page_and_the_next_choice_mends_it():
    values = np.zeros((1, 1, 2, 1), dtype=np.float32)
    values[0, 0, 1] = np.inf
    query = np.zeros((1, 1, 2, 1), dtype=np.float32)
    broken = AttentionCall("broken", 1, query=query, key=query, value=values)
    explorer = Explorer(trace_of(call(0, heads=1, query_len=2), broken))

    explorer.state.layer = 1

    assert explorer.notice.visible
    assert "can't be shown" in explorer.notice.text
    assert "finite" in explorer.notice.text
    explorer.state.layer = 0
    assert not explorer.notice.visible


def test_a_dark_page_draws_dark(explorer):
    explorer.set_dark(True)
    try:
        assert "attn-dark" in explorer.__panel__().css_classes
        assert explorer.interaction.dark
        assert explorer.driver.figures["weights"].renderers[0].glyph.color_mapper.palette[0] == (
            "#181c25"
        )
        assert explorer.address["theme"] == "dark"
    finally:
        explorer.set_dark(False)
    assert "attn-light" in explorer.__panel__().css_classes


# -- messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"token": 4}, {"query_index": 4}),
        ({"step": ["query_index", 1]}, {"query_index": 1}),
        ({"step": ["layer", 1]}, {"layer": 1}),
        ({"step": ["head", 1]}, {"head": 1}),
        ({"jump": ["query_index", "last"]}, {"query_index": 6}),
        ({"jump": ["query_index", "first"]}, {"query_index": 0}),
        ({"next": "mask"}, {"mask": "none"}),
        ({"next": "skip_first"}, {"skip_first": True}),
        ({"key": 5}, {"pair": (0, 5)}),
        ({"pair": [3, 5]}, {"pair": (3, 5)}),
        ({"pair": None}, {"pair": None}),
        ({"tap": ["weights", 2.4, 3.4]}, {"query_index": 3}),
        ({"tap": ["scores", 2.4, 5.6]}, {"query_index": 6}),
        ({"tap": ["output", 2.4, 0.0]}, {"query_index": 0}),
        ({"tap": ["row", 4.3, 0.2]}, {"query_index": 4}),
        ({"tap": ["swatches", 0.2, 2.2]}, {"query_index": 2}),
        ({"tap": ["grid", 1.2, 1.4]}, {"layer": 1, "head": 1}),
        ({"tap": ["grid", 4.0, 0.0]}, {"layer": 0, "head": 4}),
    ],
    ids=str,
)
def test_a_message_does_what_the_reader_did(explorer, message, expected):
    before = choices(explorer)

    send(explorer, message)

    after = choices(explorer)
    assert {name: after[name] for name in expected} == expected
    changed = {name for name in after if after[name] is not before[name]}
    assert changed <= {*expected, "pair"}


def test_tapping_a_tile_leaves_the_mean(explorer):
    explorer.state.aggregate = True

    send(explorer, {"tap": ["grid", 2.0, 0.0]})

    assert (explorer.state.aggregate, explorer.state.head) == (False, 2)


def test_under_the_mean_the_keyboard_does_not_move_the_head(explorer):
    explorer.state.aggregate = True

    send(explorer, {"step": ["head", 1]})

    assert explorer.state.head == 0


def test_the_masks_come_round_again(explorer):
    seen = []
    for _ in explorer.state.param["mask"].objects:
        seen.append(explorer.state.mask)
        send(explorer, {"next": "mask"})

    assert seen == explorer.state.param["mask"].objects
    assert explorer.state.mask == "model"


def test_where_queries_and_keys_differ_a_tapped_key_is_looked_at_not_selected(explorer):
    explorer.state.layer = 2

    send(explorer, {"tap": ["row", 9.0, 0.1]})

    assert (explorer.state.query_index, explorer.state.pair) == (0, (0, 9))


def test_the_swatch_of_all_others_selects_nothing():
    explorer = Explorer(trace_of(call(heads=1, query_len=23)), query_index=1)

    send(explorer, {"tap": ["swatches", 0.1, 19.0]})

    assert explorer.state.query_index == 1
    send(explorer, {"tap": ["swatches", 0.1, 0.0]})
    first = explorer.driver.source("attn:swatches").data["key_index"][0]
    assert explorer.state.query_index == first


HUGE = 10**30
GARBAGE = [
    *[None, 5, "tap", [], [["tap", 1]], b"\x00", float("nan"), {}],
    *[{"nosuch": 1}, {None: 1}, {5: 5}, {"__init__": 1}, {"state": None}],
    *[{"token": bad} for bad in (None, "x", [], {}, -1, 7, HUGE, float("inf"), float("nan"))],
    *[{"step": bad} for bad in (None, [], ["head"], ["head", None], ["head", -1], ["head", 99])],
    *[{"step": bad} for bad in (["mask", 1], ["trace", 1], ["temperature", 1], [[], 1], "ab", 5)],
    *[{"step": ["layer", float("inf")]}, {"step": ["layer", -1]}, {"step": ["nosuch", 1]}],
    *[{"jump": bad} for bad in (None, [], ["mask", "first"], ["nosuch", "last"], [{}, "last"])],
    *[
        {"jump": bad}
        for bad in (["temperature", "last"], ["color_seed", "last"], ["name", "first"])
    ],
    *[{"next": bad} for bad in (None, "trace", "head", [], {})],
    *[{"key": bad} for bad in (None, -1, 7, "x", [], float("inf"), HUGE)],
    *[{"pair": bad} for bad in ([], [1], [-1, 0], [0, 7], [7, 0], "ab", 5, [None, 1])],
    *[{"pair": [float("inf"), 0]}, {"pair": [float("nan"), 0]}, {"pair": {}}],
    *[{"tap": bad} for bad in (None, [], ["weights"], ["weights", 0], "abc", 5, {})],
    *[{"tap": ["weights", 0, bad]} for bad in (-3, 7, float("inf"), float("nan"), None, "x")],
    *[{"tap": ["grid", *bad]} for bad in ((-1, 0), (5, 0), (0, 3), (2, 1), (None, None))],
    *[{"tap": ["row", *bad]} for bad in ((-1, 0), (7, 0), (float("inf"), 0))],
    *[{"tap": ["swatches", 0, bad]} for bad in (-1, 7, 1e30)],
    *[{"tap": ["nosuch", 0, 0]}, {"tap": [None, 0, 0]}, {"tap": [[], 0, 0]}],
    *[{"prefers_dark": True}],  # unasked
]


@pytest.mark.parametrize("message", GARBAGE, ids=lambda message: ascii(message)[:50])
def test_garbage_and_what_does_not_exist_is_ignored(explorer, message):
    explorer.state.pair = (1, 2)
    before = choices(explorer)

    send(explorer, message)

    assert choices(explorer) == before


def test_a_message_after_garbage_still_counts(explorer):
    send(explorer, {"tap": [], "token": 3})

    assert explorer.state.query_index == 3


@pytest.mark.parametrize("dark", [True, False])
def test_the_system_is_asked_for_dark_once(explorer, dark):
    explorer.interaction.asks_theme = True
    try:
        send(explorer, {"prefers_dark": dark})
        assert explorer.state.dark == dark
        send(explorer, {"prefers_dark": not dark})
        assert explorer.state.dark == dark
    finally:
        explorer.state.dark = False


def test_zooming_into_a_long_sequence_draws_cell_by_cell():
    length = MOST_CELLS + 89
    explorer = Explorer(trace_of(call(heads=1, query_len=length, values=False)))
    plot = explorer.driver.figures["scores"]
    assert max(explorer.driver.source("attn:weights").data["image"][0].shape) <= MOST_CELLS

    plot.x_range.update(start=9.5, end=39.5)
    plot.y_range.update(start=29.5, end=9.5)
    explorer._on_zoom(None)

    shown = explorer.driver.source("attn:weights").data
    np.testing.assert_array_equal(shown["image"][0], explorer.state.selection.weights[10:30, 10:40])
    plot.x_range.update(start=-0.5, end=length - 0.5)
    plot.y_range.update(start=length - 0.5, end=-0.5)
    explorer._on_zoom(None)
    assert explorer.state.viewport is None


def test_zooming_into_a_short_sequence_computes_nothing(explorer):
    before = explorer.driver.source("attn:weights").data
    plot = explorer.driver.figures["scores"]

    plot.x_range.update(start=0.5, end=2.5)
    explorer._on_zoom(None)

    assert explorer.driver.source("attn:weights").data is before
    assert explorer.state.viewport is None
    plot.x_range.update(start=-0.5, end=6.5)


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
