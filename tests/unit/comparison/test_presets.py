"""Preset comparisons: each differs on MiniLM, in the head that the search finds."""

from __future__ import annotations

import pytest

from attnpanel.comparison import READY, align, heads_by_change
from attnpanel.models.intervention_spec import parse_intervention
from attnpanel.models.prompts import change_prompt, trace_prompt

# What the token looks at in the head found for the first sentence, at least how much of its
# weight that has there, and at most how much what stands at its place in the second.
FOUND = {
    "he-she": ("man", 0.55, 0.15),
    "nurse": ("nurse", 0.25, 0.1),
    "bank": ("river", 0.6, 0.15),
    "not": ("was", 0.95, 0.05),
}
PAIRS = [ready for ready in READY if ready.name in FOUND]


def test_each_can_be_named_and_chosen():
    names, labels = ([getattr(preset, field) for preset in READY] for field in ("name", "label"))

    assert len(set(names)) == len(names)
    assert len(set(labels)) == len(labels)
    assert set(FOUND) < set(names)


@pytest.mark.model
@pytest.mark.parametrize("ready", PAIRS, ids=lambda ready: ready.name)
def test_the_found_head_attends_elsewhere(ready):
    first, second = trace_prompt(ready.first), trace_prompt(ready.second)
    tokens, others = first.query_tokens[0], second.query_tokens[0]
    at, pairs = tokens.index(ready.token), dict(align(tokens, others))
    word, least, most = FOUND[ready.name]

    best = heads_by_change(first, second, query_index=at)[0]
    row = first.calls[best.layer].weights(best.head)[at]
    other = second.calls[best.layer].weights(best.head)[pairs[at]]

    assert tokens[int(row.argmax())] == word
    assert row.max() > least
    assert best.moved > 0.5
    assert other[pairs[tokens.index(word)]] < most


@pytest.mark.model
def test_with_a_head_knocked_out_later_heads_attend_elsewhere():
    ready = next(preset for preset in READY if preset.change)
    made = change_prompt(ready.second, **parse_intervention(ready.change).arguments())
    at = made.before.query_tokens[0].index(ready.token)

    changes = heads_by_change(made.before, made.after, query_index=at)

    assert changes[0].moved > 0.25
    # What comes before the change is as it was, the first layer's own weights included.
    assert {change.moved for change in changes if change.layer == 0} == {0.0}
