import math
from itertools import islice

import numpy as np
import pytest

from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall
from attnpanel.training.loop import answer_weights, fixed_example, train
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.tasks import make_task

torch = pytest.importorskip("torch")

TINY = {"d_model": 8, "heads": 2, "steps": 10, "batch": 3}


def steps(count=None, **settings):
    settings = TrainingSettings(**{**TINY, **settings})
    return list(islice(train(settings, make_task(settings.task)), count))


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    first, again, other = (steps(6, seed=seed) for seed in (5, 5, 6))

    assert [step.loss for step in first[1:]] == [step.loss for step in again[1:]]
    assert first[-1].held_out == again[-1].held_out
    assert [step.loss for step in first[1:]] != [step.loss for step in other[1:]]


def test_a_run_disturbs_no_random_numbers_or_threads_of_others():
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()

    steps(3)

    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_it_begins_with_the_untrained_model_and_ends_at_the_last_step():
    made = steps()

    assert [step.number for step in made] == list(range(11))
    assert math.isnan(made[0].loss)
    assert made[0].held_out.accuracy < 0.3
    assert made[-1].held_out is not None
    assert made[-1].trace is not None


def test_the_stored_attention_is_that_of_the_fixed_example():
    settings = TrainingSettings(**TINY)
    task = make_task("induction")
    example = fixed_example(settings, task)

    trace = steps(1)[0].trace

    assert list(trace.query_tokens[0]) == task.labels(example.tokens[0, :-1])
    assert (len(trace.calls), trace.calls[0].heads) == (2, 2)
    # Each position sees itself and earlier positions.
    weights = trace.calls[1].weights(1)
    np.testing.assert_array_equal(np.triu(weights, 1), 0)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_the_baseline_has_no_attention_to_show():
    assert all(step.trace is None for step in steps(attends=False))


def test_a_diverging_run_says_what_to_change(monkeypatch):
    monkeypatch.setattr(
        "torch.nn.functional.cross_entropy", lambda scores, _targets: scores.sum() * math.nan
    )

    with pytest.raises(ValueError, match=r"no longer a finite number at step 1; .* below 0\.5"):
        steps(learning_rate=0.5)


def test_weight_on_the_answer_is_the_mean_over_those_who_ask():
    # Equal scores: of the keys it sees, query 2 gives each a third and query 3 each a quarter.
    zeros = np.zeros((1, 5, 4, 3), dtype=np.float32)
    trace = Trace([AttentionCall("layer", 0, query=zeros, key=zeros, causal="top_left")] * 2)
    wanted = np.zeros((4, 4), dtype=bool)
    wanted[2, 0] = wanted[3, 0] = wanted[3, 2] = True

    weights = answer_weights(trace, wanted)

    np.testing.assert_allclose(weights, np.full((2, 5), (1 / 3 + 2 / 4) / 2), rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.slow
def test_induction_is_learned_by_attention_and_not_without_it():
    settings = TrainingSettings()
    task = make_task("induction")
    example = fixed_example(settings, task)
    wanted = task.answers(example.tokens[0], example.scored[0])

    learned = next(
        step
        for step in train(settings, task)
        if step.trace is not None and step.held_out.accuracy >= 0.95
    )
    *_, without = islice(train(TrainingSettings(attends=False), task), 301)

    assert learned.number <= settings.steps
    # A head of the second layer has found where each symbol stood before.
    assert answer_weights(learned.trace, wanted)[1].max() > 0.5
    # The accuracy of guessing one of up to 15 other symbols, without looking back.
    assert without.held_out.accuracy < 0.2
