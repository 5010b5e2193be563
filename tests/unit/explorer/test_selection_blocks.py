"""Heads too large to be held: the same numbers and pictures, without T x S in memory."""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest

from attnpanel.explorer import state as state_module
from attnpanel.explorer.layer_answers import LayerAnswers
from attnpanel.explorer.selection import Selection
from attnpanel.explorer.selection_blocks import BlockwiseSelection
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import choices_of
from attnpanel.explorer.views import VIEWS
from attnpanel.ui.session_callbacks import SessionScheduler
from tests.hand_made import call, recorded, trace_of

# More than a plot has pixels, so that it is pooled, and no multiple of a block.
LONG = 2 * 512 + 3
# float32 products of other shapes are summed in another order.
WITHIN = {"rtol": 1e-4, "atol": 1e-5}
CHOICES = {
    "as it is": {},
    "causal": {"mask": "causal", "temperature": 0.5, "skip_first": True},
    "mean of heads": {"mask": "window", "window": 3, "aggregate": True},
    "relative to the row": {"weight_scale": "per row", "viewport": (3.0, 700.0, 5.0, 900.0)},
    "empty rows": {"mask": "padding", "pad_len": 900, "empty_rows": "nan", "weight_scale": "own"},
}


def states(monkeypatch, one, **choices):
    """A state that holds its selection, and one that does not."""
    held, streamed = (ExplorerState(trace_of(one), head=1, **choices) for _ in range(2))
    assert isinstance(held.selection, Selection)
    monkeypatch.setattr(state_module, "HELD_CELLS", 1)
    assert isinstance(streamed.selection, BlockwiseSelection)
    return held, streamed


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("choices", CHOICES)
def test_the_pictures_are_those_of_a_head_that_is_held(monkeypatch, choices):
    one = call(0, heads=2, query_len=LONG, causal="top_left")
    held, streamed = states(monkeypatch, one, **CHOICES[choices], query_index=7)

    for view in (view for view in VIEWS if view.draw is not None):
        first, second = view.draw(held), view.draw(streamed)
        if first.colours is not None:
            assert second.colours.high == pytest.approx(first.colours.high, rel=1e-5)
        for name, columns in first.sources.items():
            for column, values in columns.items():
                other = second.sources[name][column]
                if column in ("image", "exact"):
                    np.testing.assert_allclose(other[0], values[0], **WITHIN)
                elif np.asarray(values).dtype.kind == "f":
                    np.testing.assert_allclose(other, values, **WITHIN)


def test_recorded_weights_are_read_by_blocks_too(monkeypatch):
    held, streamed = states(monkeypatch, recorded(0, query_len=11))

    np.testing.assert_array_equal(streamed.selection.weights, held.selection.weights)
    assert streamed.selection.scores is None
    assert not streamed.selection.has_scores
    np.testing.assert_array_equal(streamed.overview(0, 1), held.overview(0, 1))


@contextmanager
def peak_of(found):
    tracemalloc.start()
    try:
        yield
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def test_no_question_of_a_large_layer_takes_a_whole_matrix(monkeypatch):
    length = 4096
    one = call(0, heads=2, query_len=length, causal="top_left")
    trace = trace_of(one)
    monkeypatch.setattr(state_module, "HELD_CELLS", 1)
    state = choices_of(ExplorerState(trace)) | {"trace": 1, "mask": "window", "window": 9}
    answers, found = [], []

    with peak_of(found):
        asked = LayerAnswers(trace, SessionScheduler(), answers.append)
        for number, kind in enumerate(("matrices", "row", "numbers", "tiles")):
            asked.ask({"kind": kind, "id": number, "layers": [0], "state": state})

    assert [answer.get("error") for answer in answers] == [None] * 4
    assert found[0] < 2 * length**2  # half of one float32 matrix, and blocks of a fixed size
