"""The ready comparisons: each really differs on MiniLM, in the head that a search finds."""

from __future__ import annotations

import pytest

from attnpanel.change import read_change
from attnpanel.comparison import READY, align, heads_by_change
from attnpanel.sources.prompts import change_prompt, trace_prompt

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
    names, labels = ([getattr(one, field) for one in READY] for field in ("name", "label"))

    assert len(set(names)) == len(names)
    assert len(set(labels)) == len(labels)
    assert set(FOUND) < set(names)


@pytest.mark.model
@pytest.mark.parametrize("ready", PAIRS, ids=lambda ready: ready.name)
def test_the_found_head_looks_elsewhere(ready):
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
def test_with_a_head_switched_off_later_heads_look_elsewhere():
    ready = next(one for one in READY if one.change)
    made = change_prompt(ready.second, **read_change(ready.change).asked())
    at = made.before.query_tokens[0].index(ready.token)

    changes = heads_by_change(made.before, made.after, query_index=at)

    assert changes[0].moved > 0.25
    # What comes before the change is as it was, the first layer's own weights included.
    assert {change.moved for change in changes if change.layer == 0} == {0.0}
