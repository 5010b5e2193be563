import math
from itertools import islice

import numpy as np
import pytest

from attnpanel.attention_call import AttentionCall
from attnpanel.trace import Trace
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.tasks import make_task
from attnpanel.training.training import answer_weights, fixed_example, train

torch = pytest.importorskip("torch")

TINY = {"d_model": 8, "heads": 2, "steps": 10, "batch": 3}


def steps(count=None, **settings):
    settings = TrainingSettings(**{**TINY, **settings})
    return list(islice(train(settings, make_task(settings.task)), count))


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    first, again, other = (steps(6, seed=seed) for seed in (5, 5, 6))

    assert [one.loss for one in first[1:]] == [one.loss for one in again[1:]]
    assert first[-1].held_out == again[-1].held_out
    assert [one.loss for one in first[1:]] != [one.loss for one in other[1:]]


def test_a_run_disturbs_no_random_numbers_or_threads_of_others():
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()

    steps(3)

    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_it_begins_with_the_untrained_model_and_ends_at_the_last_step():
    made = steps()

    assert [one.number for one in made] == list(range(11))
    assert math.isnan(made[0].loss)
    assert made[0].held_out.accuracy < 0.3
    assert made[-1].held_out is not None
    assert made[-1].trace is not None


def test_the_attention_kept_is_that_of_the_fixed_example():
    settings = TrainingSettings(**TINY)
    task = make_task("induction")
    example = fixed_example(settings, task)

    trace = steps(1)[0].trace

    assert list(trace.query_tokens[0]) == task.words(example.tokens[0, :-1])
    assert (len(trace.calls), trace.calls[0].heads) == (2, 2)
    # Each position sees itself and what is before it.
    weights = trace.calls[1].weights(1)
    np.testing.assert_array_equal(np.triu(weights, 1), 0)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_the_baseline_has_no_attention_to_show():
    assert all(one.trace is None for one in steps(attends=False))


def test_a_run_that_flies_apart_says_what_to_change(monkeypatch):
    monkeypatch.setattr(
        "torch.nn.functional.cross_entropy", lambda scores, _targets: scores.sum() * math.nan
    )

    with pytest.raises(ValueError, match=r"no number any more at step 1; .* below 0\.5"):
        steps(learning_rate=0.5)


def test_weight_on_the_answer_is_the_mean_over_those_who_ask():
    # Equal scores: of the keys it sees, query 2 gives each a third and query 3 each a quarter.
    zeros = np.zeros((1, 5, 4, 3), dtype=np.float32)
    trace = Trace([AttentionCall("layer", 0, query=zeros, key=zeros, causal="top_left")] * 2)
    wanted = np.zeros((4, 4), dtype=bool)
    wanted[2, 0] = wanted[3, 0] = wanted[3, 2] = True

    weights = answer_weights(trace, wanted)

    np.testing.assert_allclose(weights, np.full((2, 5), (1 / 3 + 2 / 4) / 2), rtol=1e-6)


def test_induction_is_learned_by_attention_and_not_without_it():
    settings = TrainingSettings()
    task = make_task("induction")
    example = fixed_example(settings, task)
    wanted = task.answers(example.tokens[0], example.scored[0])

    learned = next(
        one
        for one in train(settings, task)
        if one.trace is not None and one.held_out.accuracy >= 0.95
    )
    *_, without = islice(train(TrainingSettings(attends=False), task), 301)

    assert learned.number <= settings.steps
    # A head of the second layer has found where each symbol stood before.
    assert answer_weights(learned.trace, wanted)[1].max() > 0.5
    # One of up to 15 other symbols: what a guess without looking back can reach.
    assert without.held_out.accuracy < 0.2
