"""Each check says yes to its solution, and no to where the exercise starts."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.explorer.state import ExplorerState
from attnpanel.models.toy import toy_trace
from attnpanel.pages.exercises import EXERCISES
from attnpanel.trace import AttentionCall, Trace

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}
WORDS = BY_NAME["pronoun"].prompt.lower().replace(".", " .").split()
TOKENS = ["[CLS]", *WORDS, "[SEP]"]
# What a reader sets; temperatures are steps of the page's slider.
TOY_SOLUTIONS = {
    "half": {"temperature": 10**0.35},
    "even": {"temperature": 10.0},
    "causal": {"mask": "causal"},
    "empty": {"mask": "padding", "pad_len": 5},
}


def lines(offset):
    """Weights that all lie on one diagonal; rows without a place there look at themselves."""
    weights = np.eye(len(TOKENS), k=offset, dtype=np.float32)
    return weights + np.diag(1 - weights.sum(axis=1)).astype(np.float32)


def pronoun():
    weights = np.full((len(TOKENS), len(TOKENS)), 1 / len(TOKENS), np.float32)
    weights[TOKENS.index("it")] = 0
    weights[TOKENS.index("it"), [TOKENS.index("trophy"), 1]] = 0.6, 0.4
    return weights


def first():
    weights = np.zeros((len(TOKENS), len(TOKENS)), np.float32)
    weights[:, 0] = 1
    return weights


# Head 0 of the model in which the exercise is solved; head 1 looks evenly at all.
HEADS = {"previous": lines(-1), "next": lines(1), "sink": first(), "pronoun": pronoun()}


def of_model(name):
    even = np.full_like(HEADS[name], 1 / len(TOKENS))
    call = AttentionCall("layer.0", 0, recorded_weights=np.stack([HEADS[name], even])[None])
    return ExplorerState(Trace([call], query_tokens=[TOKENS]))


def test_names_are_unique_and_each_is_done_somewhere():
    assert len(BY_NAME) == len(EXERCISES)
    for exercise in EXERCISES:
        assert (exercise.check is None) == bool(exercise.elsewhere), exercise.name
    assert set(TOY_SOLUTIONS) | set(HEADS) == {one.name for one in EXERCISES if one.check}


@pytest.mark.parametrize("name", TOY_SOLUTIONS)
def test_a_toy_s_start_is_no_solution_and_its_solution_is(name):
    exercise = BY_NAME[name]
    state = ExplorerState(toy_trace(), **exercise.start)

    assert not exercise.check(state).solved
    state.choose(**TOY_SOLUTIONS[name])
    assert exercise.check(state).solved


@pytest.mark.parametrize("name", HEADS)
def test_only_the_right_head_of_a_model_is_a_solution(name):
    check, state = BY_NAME[name].check, of_model(name)

    assert check(state).text.startswith("Solved: ")
    state.head = 1
    assert check(state).text.startswith("Not yet: ")
    # The mean of both heads is no head.
    state.choose(head=0, aggregate=True)
    assert not check(state).solved


def test_a_wrong_try_says_how_far_off_it_is():
    state = ExplorerState(toy_trace(), **BY_NAME["half"].start)
    weight = toy_trace().calls[0].weights(1)[2, 2]

    assert f"{100 * weight:.1f} %" in BY_NAME["half"].check(state).text


def test_evenness_is_not_to_be_had_by_a_mask():
    state = ExplorerState(toy_trace(), temperature=10.0, mask="causal")

    assert "without a mask" in BY_NAME["even"].check(state).text


@pytest.mark.model
def test_minilm_has_the_heads_that_are_asked_for():
    from attnpanel.models.prompts import trace_prompt

    trace = trace_prompt(BY_NAME["previous"].prompt)
    solved = {name: set() for name in HEADS}
    for layer, call in enumerate(trace.calls):
        for head in range(call.heads):
            state = ExplorerState(trace, layer=layer, head=head)
            for name, found in solved.items():
                if BY_NAME[name].check(state).solved:
                    found.add((layer, head))

    assert solved["previous"] == {(0, 2)}
    assert solved["next"] == {(1, 8)}
    assert solved["sink"] >= {(2, 9)}
    assert solved["pronoun"] >= {(3, 1)}
    for name, heads in solved.items():
        start = BY_NAME[name].start
        assert (start["layer"], start["head"]) not in heads, name
