"""What a figure says; no matplotlib is needed."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest

import attnpanel as ap
from attnpanel.explorer.paper_figure import head_figure as module
from attnpanel.explorer.paper_figure.content import bar_ticks, content_of, millimetres
from tests.hand_made import call, from_scores, recorded

PLAIN = {"kind": "weights", "query": None, "title": None, "caption": None, "choices": {}}


def content(trace, layer=0, head=0, **options):
    return content_of(trace, layer, head, **{**PLAIN, **options})


def sentence(**rest):
    tokens = [["[CLS]", "a", "suit", "##case", "[SEP]"]]
    return ap.Trace([call(0), call(1, **rest)], query_tokens=tokens, model="MiniLM")


def test_the_caption_says_what_the_numbers_are_and_whence():
    shown = content(sentence(), 1, -1, query=3, choices={"mask": "window", "temperature": 0.5})

    assert shown.title == "Layer 1, head 2: attention weights"
    assert shown.caption == (
        "MiniLM · “[CLS] a suitcase [SEP]” · layer 1 (layer.1), head 2 · mask: window (window 3)"
        " · temperature 0.5 · outlined: query 3, “##case”"
    )


def test_layers_are_found_by_name_and_keep_their_numbers_in_a_part():
    part = sentence().select(layers=[1], heads=[2])

    assert content(part, "layer.1").title == "Layer 1, head 2: attention weights"
    assert content(part, 0, None).title == "Layer 1, mean of 1 heads: attention weights"


def test_two_sequences_are_both_quoted_and_the_sequence_is_named():
    made = ap.Trace(
        [call(query_len=2, key_len=3, batch=2)],
        query_tokens=[["x", "y"], ["le", "chat"]],
        key_tokens=[["x", "y", "z"], ["the", " black", " cat"]],
    )

    said = content(made, choices={"batch": 1}).caption

    assert said.startswith("queries “le chat”, keys “the black cat” · layer 0 (layer.0), head 0 ·")
    assert " · sequence 1 · " in said


def test_a_long_prompt_is_cut_and_a_long_matrix_pooled():
    made = ap.Trace([call(query_len=1031)], query_tokens=[["word"] * 1031])

    said = content(made).caption

    assert said.startswith("“" + "word " * 17 + "word…” · ")
    assert said.endswith("each cell the largest of 3 × 3")


def test_a_prompt_of_few_long_words_is_cut_as_well():
    made = ap.Trace([call(query_len=5)], query_tokens=[["x" * 30] * 5])

    assert content(made).caption.startswith("“" + ("x" * 30 + " ") * 2 + "x" * 28 + "…” · ")


def test_steps_are_score_softmax_and_mix_and_leave_out_what_is_not_known():
    shown = content(sentence(), kind="steps")
    assert [panel.title for panel in shown.panels] == ["Score", "Softmax", "Mix"]
    assert shown.title == "Layer 0, head 0: score, softmax and mix"

    without = content(ap.Trace([call(values=False)]), kind="steps")
    assert [panel.title for panel in without.panels] == ["Score", "Softmax"]
    assert without.query_tokens is None


def test_masked_cells_are_nan_and_counted():
    shown = content(sentence(), choices={"mask": "causal"})
    image = shown.panels[0].drawing.sources["attn:weights"]["image"][0]

    np.testing.assert_array_equal(np.isnan(image), ~np.tri(5, dtype=bool))
    assert shown.masked
    assert not content(sentence()).masked


def test_empty_rows_are_named_with_their_policy():
    made = ap.Trace([from_scores([[0.0, 1.0], [0.0, 1.0]])])

    said = content(made, choices={"mask": "padding", "pad_len": 1}).caption

    assert "mask: padding (pad length 1)" in said
    assert "empty rows: zero" in said


def test_titles_and_captions_may_be_given_or_left_out_and_have_one_line():
    shown = content(sentence(), title="", caption="two\nlines\x07 $x$")

    assert (shown.title, shown.caption) == ("", "two lines· $x$")


def test_a_square_root_has_more_of_the_bar_for_small_weights():
    root, even = (bar_ticks(0, 1, power, relative=False) for power in (0.5, 1.0))

    assert dict(even) == {0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1: "1"}
    assert {text: place**2 for place, text in root} == pytest.approx(
        {"0": 0, "0.05": 0.05, "0.2": 0.2, "0.5": 0.5, "1": 1}
    )
    assert bar_ticks(-2, 2, 1.0, relative=False)[0] == (0, "−2")
    assert bar_ticks(0, 1, 1.0, relative=True)[1] == (0.25, "25 %")


def test_the_bar_has_the_colours_of_the_map():
    panel = content(sentence()).panels[0]
    colours, bar = panel.drawing.colours, panel.bar.colours

    # A quarter of the scale is at half of the bar of a square root.
    quarter, half = (
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        for colour in (colours.palette[len(colours.palette) // 4], bar[len(bar) // 2])
    )
    np.testing.assert_allclose(quarter, half, atol=2)  # a step of the bar
    assert (bar[0], bar[-1]) == (colours.palette[0], colours.palette[-1])


@pytest.mark.parametrize(("width", "mm"), [("column", 88), ("page", 180), (120, 120), (40.5, 40.5)])
def test_widths(width, mm):
    assert millimetres(width) == mm


@pytest.mark.parametrize("width", ["wide", 39, 1001, float("nan"), None, True])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(ValueError, match=r"width must be 'column', 'page' or 40 to 1000 mm; got"):
        millimetres(width)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": 9}, IndexError, "2 calls; got 9"),
        ({"layer": "nowhere"}, KeyError, "no layer 'nowhere'"),
        ({"head": 3}, ValueError, r"head must be in 0..2; got 3"),
        ({"query": 5}, ValueError, r"query must be in 0..4; got 5"),
        ({"kind": "bars"}, ValueError, "kind must be 'weights' or 'steps'; got 'bars'"),
        ({"choices": {"colour": 1}}, ValueError, "options are align, .*, window; got 'colour'"),
        ({"choices": {"dark": True}}, ValueError, "got 'dark'"),
        ({"choices": {"mask": "moon"}}, ValueError, "moon"),
        ({"choices": {"temperature": 0.0}}, ValueError, "temperature"),
    ],
)
def test_what_does_not_exist_is_named(options, error, message):
    with pytest.raises(error, match=message):
        content(sentence(), **options)


@pytest.mark.parametrize(
    "options", [{"kind": "steps"}, {"choices": {"mask": "causal"}}, {"choices": {"temperature": 2}}]
)
def test_recorded_weights_are_shown_as_they_are(options):
    made = ap.Trace([recorded()])

    assert "mask: as the model · temperature 1" in content(made).caption
    with pytest.raises(ValueError, match="recorded weights have no scores, temperature 1"):
        content(made, **options)


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    def nothing(name):
        return None if name == "matplotlib" else find_spec(name)

    monkeypatch.setattr(module, "find_spec", nothing)

    with pytest.raises(ImportError) as raised:
        sentence().figure()

    assert str(raised.value) == (
        "figures need matplotlib, the extra 'figures' of attnpanel: pip install matplotlib"
    )


def test_what_a_figure_shows_is_known_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert content(sentence(), kind="steps").panels
