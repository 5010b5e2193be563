"""The card of an intervention's effect: its plots and texts against the numbers behind them."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.explorer.state import ExplorerState
from attnpanel.models.intervene.output_change import embedding_change, prediction_change
from attnpanel.models.prompts import PromptChange
from attnpanel.pages.explorer.before_after import BeforeAfterCard
from attnpanel.pages.explorer.output_bars import embedding_bars
from attnpanel.trace import Trace
from tests.hand_made import call, trace_of

T = 5
TOKENS = ["</script>", "<img src=x onerror=1>", "c", "d", "e"]


def trace(seed):
    generator = np.random.default_rng(seed)
    arrays = {
        name: generator.standard_normal((1, 2, T, 3), dtype=np.float32)
        for name in ("query", "key", "value")
    }
    calls = [
        type(call())(f"layer.{number}", number, **{k: v + number for k, v in arrays.items()})
        for number in range(2)
    ]
    return Trace(calls, query_tokens=[TOKENS], source="prompt")


def changed(kind):
    generator = np.random.default_rng(7)
    outputs = generator.standard_normal((2, T, 9))
    make = embedding_change
    if kind == "prediction":
        return PromptChange(
            trace(1), trace(2), prediction_change(*outputs, name=lambda number: f"<b>{number}")
        )
    return PromptChange(trace(1), trace(2), make(*outputs))


@pytest.fixture(params=["embedding", "prediction"])
def shown(request):
    change = changed(request.param)
    state = ExplorerState(change.after)
    card = BeforeAfterCard(state)
    card.show(change, "layer 1, head 0 knocked out")
    return card, state, change


def drawn(card, name):
    sources = {
        renderer.data_source.name: renderer.data_source.data
        for plot in card.figures.values()
        for renderer in plot.renderers
    }
    return sources[f"change:{name}"]


def test_before_after_and_difference_are_the_heads_in_view(shown):
    card, state, change = shown
    state.layer, state.head = 1, 1

    before, after = (trace.calls[1].weights(1) for trace in (change.before, change.after))
    for name, expected in (("before", before), ("after", after), ("difference", after - before)):
        np.testing.assert_allclose(drawn(card, name)["image"][0], expected, atol=1e-6)
    assert card.figures["difference"].renderers[0].glyph.color_mapper.low < 0


def test_the_mean_of_all_heads_is_compared_where_it_is_in_view(shown):
    card, state, change = shown
    state.aggregate = True

    expected = np.mean([change.after.calls[0].weights(head) for head in range(2)], axis=0)
    np.testing.assert_allclose(drawn(card, "after")["image"][0], expected, atol=1e-6)
    assert "mean of all heads" in card._words["before"].subtitle


def test_the_output_is_told_of_the_token_in_view(shown):
    card, state, change = shown
    state.query_index = 3
    bars, output = drawn(card, "output"), change.output

    if output.kind == "embedding":
        np.testing.assert_array_equal(bars["top"], output.moved)
        assert f"{output.whole:.2g}" in card._words["output"].subtitle
    else:
        candidates = output.candidates[3]
        expected = [p for candidate in candidates for p in (candidate.before, candidate.after)]
        np.testing.assert_array_equal(bars["top"], expected)
        assert card._words["output"].text == "Next token after “d”"
    moved = np.abs(change.after.calls[0].weights(0)[3] - change.before.calls[0].weights(0)[3])
    assert card._words["sentence"].text.startswith(f"{moved.sum() / 2:.1%}".replace("%", " %"))


def test_another_run_takes_the_place_of_the_first_and_a_plain_one_hides_the_card(shown):
    card, _, change = shown
    plots = dict(card.figures)
    other = PromptChange(change.after, change.before, change.output)

    card.show(other, "again")

    assert card.figures == plots
    assert len(card.view) == 1
    np.testing.assert_allclose(
        drawn(card, "before")["image"][0], change.after.calls[0].weights(0), atol=1e-6
    )
    card.hide()
    assert len(card.view) == 0


def test_what_rounding_moves_looks_like_nothing():
    outputs = np.random.default_rng(3).standard_normal((T, 9))
    change = PromptChange(trace(1), trace(1), embedding_change(outputs, outputs * (1 + 1e-15)))

    drawing = embedding_bars(ExplorerState(change.after), change.output)

    assert drawing.sources["change:output"]["top"].max() < 1e-3 * drawing.y[1]
    assert drawing.sources["change:output:labels"]["text"] == []


def test_a_long_run_is_pooled_to_what_lies_farthest_from_zero():
    rows = np.zeros((1, 1, 600, 2), dtype=np.float32)
    long = trace_of(type(call())("a", 0, query=rows, key=rows), query_tokens=[["t"] * 600])
    peaked = rows.copy()
    peaked[..., 0] = 30
    key = rows.copy()
    key[0, 0, 300, 0] = 30
    after = trace_of(type(call())("a", 0, query=peaked, key=key), query_tokens=[["t"] * 600])
    output = embedding_change(np.eye(600), np.eye(600))
    card = BeforeAfterCard(ExplorerState(after))

    card.show(PromptChange(long, after, output), "")

    image = drawn(card, "difference")["image"][0]
    assert image.shape == (300, 300)
    np.testing.assert_allclose([image.max(), image.min()], [1 - 1 / 600, -1 / 600], atol=1e-6)


def test_a_step_to_another_token_moves_the_outlines_and_computes_no_matrix(shown):
    card, state, _ = shown
    images = {name: drawn(card, name)["image"][0] for name in ("before", "after", "difference")}
    card._compute = lambda: pytest.fail("the weights were computed again")

    state.query_index = 3

    for name, image in images.items():
        assert drawn(card, name)["image"][0] is image
        (outline,) = [b for b in card.figures[name].center if b.name == "attn:outline"]
        assert (outline.bottom, outline.top) == (2.5, 3.5)
    assert "“d”" in card._words["sentence"].text
