"""A lab model in JavaScript computes what PyTorch does, and writes on by the rules of sampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.pages.lab.run_summary import live_info
from attnpanel.training.live_weights import describe_model, pack_model
from attnpanel.training.loop import make_model, trace_tokens
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.tasks import TASK_NAMES, TASKS, make_task
from tests.browser_kernel.conftest import KernelError, node_running

torch = pytest.importorskip("torch")
WITHIN = 1e-5
# Scores of this size round in 32 bits by so much that weights are off by some of that; those of a
# trained model are smaller. Where a random model has larger ones, more is allowed in proportion.
SCORE = 20.0


@pytest.fixture(scope="module")
def live():
    with node_running(Path(__file__).with_name("decoder.mjs")) as node:
        yield node


@st.composite
def models(draw):
    """Draw a task, and settings and a seed of a model with weights that are numbers of float16."""
    heads, width = draw(st.sampled_from([(1, 8), (2, 10), (3, 12), (4, 64), (16, 16), (5, 35)]))
    return (
        TrainingSettings(
            task=draw(st.sampled_from(TASK_NAMES)),
            heads=heads,
            d_model=width,
            layers=draw(st.integers(1, 3)),
            attends=draw(st.sampled_from([True, True, True, False])),
        ),
        draw(st.integers(0, 2**31)),
        draw(st.sampled_from([0.1, 0.5, 1.0])),
    )


def open_model(live, chosen):
    """Return a task and a random model of it, which Node has opened."""
    run, seed, scale = chosen
    task = make_task(run.task)
    torch.manual_seed(seed)
    model = make_model(run, task).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if "norm" in name or "before_" in name else 0.0
            parameter.copy_((around + scale * torch.randn_like(parameter)).half().float())
    tokens = np.zeros((1, 1), np.int64)
    error, packed = pack_model(model, run, task, tokens)
    assert error == 0.0
    live(
        "openModel",
        describe_model(run, task),
        np.frombuffer(packed, np.uint8),
        len(task.vocabulary),
    )
    return task, model.double()


def log_probabilities(model, ids):
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).double(), dim=-1)[0].numpy()


@settings(max_examples=120, deadline=None)
@given(chosen=models(), data=st.data())
def test_a_model_reads_any_sequence_as_pytorch_does(live, chosen, data):
    task, model = open_model(live, chosen)
    count = len(task.vocabulary)
    ids = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=task.length))

    made = live("run", ids, [])

    expected = log_probabilities(model, ids)
    blocks, largest = trace_weights(model, ids)
    within = WITHIN * max(1.0, largest / SCORE)
    found = made["logs"].reshape(expected.shape)
    np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=0, atol=within)
    losses = [-expected[at, token] for at, token in enumerate(ids[1:])]
    # A loss of 30 nats comes from scores of such a size, which hold 32 bits.
    np.testing.assert_allclose(made["losses"], losses, rtol=within, atol=within)
    if not chosen[0].attends:
        assert made["weights"] == [[] for _ in range(chosen[0].layers)]
        return
    for block, heads in zip(blocks, made["weights"], strict=True):
        assert len(heads) == chosen[0].heads
        for head, weights in zip(block, heads, strict=True):
            np.testing.assert_allclose(weights.reshape(head.shape), head, rtol=0, atol=within)


def trace_weights(model, ids):
    """Return each layer's weights (H, T, T) in 64 bits, and its largest score or logit of all."""
    found, sizes = [], []

    def keep(attention, inputs):
        (x,) = inputs
        batch, length, width = x.shape
        split = attention.query_key_value(x).view(batch, length, 3, attention.heads, -1)
        query, key, _ = split.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / (width // attention.heads) ** 0.5
        sizes.append(float(scores.abs().max()))
        hidden = torch.ones(length, length).triu(1).bool()
        found.append(scores.masked_fill(hidden, -torch.inf).softmax(dim=-1)[0].numpy())

    attending = [block.attention for block in model.blocks if block.attention is not None]
    hooks = [attention.register_forward_pre_hook(keep) for attention in attending]
    with torch.no_grad():
        sizes.append(float(model(torch.tensor([ids])).abs().max()))
    for hook in hooks:
        hook.remove()
    return found, max(sizes)


@settings(max_examples=60, deadline=None)
@given(chosen=models(), data=st.data())
def test_a_head_that_is_knocked_out_adds_nothing(live, chosen, data):
    chosen = (TrainingSettings(**{**vars(chosen[0]), "attends": True}), *chosen[1:])
    task, model = open_model(live, chosen)
    run = chosen[0]
    ids = data.draw(st.lists(st.integers(0, len(task.vocabulary) - 1), min_size=1, max_size=9))
    ids = ids[: task.length]
    heads = st.tuples(st.integers(0, run.layers - 1), st.integers(0, run.heads - 1))
    out = data.draw(st.sets(heads, min_size=1, max_size=4))

    made = live("run", ids, [f"{layer}.{head}" for layer, head in sorted(out)])

    width = run.d_model // run.heads
    with torch.no_grad():  # what a head mixes reaches the output by these columns alone
        for layer, head in out:
            columns = slice(head * width, (head + 1) * width)
            model.blocks[layer].attention.output.weight[:, columns] = 0
    expected = log_probabilities(model, ids)
    _, largest = trace_weights(model, ids)
    within = WITHIN * max(1.0, largest / SCORE)
    found = made["logs"].reshape(expected.shape)
    np.testing.assert_allclose(np.exp(found), np.exp(expected), rtol=0, atol=within)


def test_the_capture_of_the_same_sequence_has_the_same_weights(live):
    run = TrainingSettings(task="copy", heads=2, d_model=16, layers=2)
    task, model = open_model(live, (run, 5, 0.5))
    ids = [3, 1, 2, 12, 3]
    made = live("run", ids, [])
    for call, heads in zip(
        trace_tokens(model, task, np.array([ids])).calls, made["weights"], strict=True
    ):
        for head, weights in enumerate(heads):
            # A trace holds queries and keys in float16.
            np.testing.assert_allclose(weights.reshape(5, 5), call.weights(head), atol=5e-3)


@pytest.mark.parametrize(
    ("ids", "rule"),
    [
        ([], "must have 1 to 4 tokens; got 0"),
        ([0] * 5, "must have 1 to 4 tokens; got 5"),
        ([15], "one of the model's; got 15"),
        ([-1], "one of the model's; got -1"),
        ([0.5], "one of the model's; got 0.5"),
        ([float("nan")], "one of the model's; got NaN"),
    ],
)
def test_what_no_model_reads_is_refused_with_the_rule_and_the_value(live, ids, rule):
    open_model(live, (TrainingSettings(task="modular_sum", heads=1, d_model=8, layers=1), 0, 0.5))
    with pytest.raises(KernelError, match=rule):
        live("run", ids, [])


def test_numbers_that_are_not_finite_are_refused(live):
    run = TrainingSettings(task="modular_sum", heads=1, d_model=8, layers=1)
    task = make_task("modular_sum")
    _, packed = pack_model(make_model(run, task), run, task, np.zeros((1, 1), np.int64))
    broken = np.frombuffer(packed, np.uint8).copy()
    broken[1] |= 0x7C  # infinite, or not a number
    live("openModel", describe_model(run, task), broken, 15)
    with pytest.raises(KernelError, match="numbers that are not finite"):
        live("run", [0], [])


@pytest.mark.parametrize("task", TASKS, ids=TASK_NAMES)
def test_each_example_of_a_task_is_read_from_its_text(live, task):
    about = live_info(TrainingSettings(task=task.name), task)
    for preset in about["presets"]:
        text = (" " if task.separated else "").join(
            task.vocabulary[token] for token in preset["ids"]
        )
        assert live("readSequence", text, about, task.length)["ids"] == preset["ids"]
        assert live("sequenceText", preset["ids"], about) == text
        assert task.tokens_of(text) == preset["ids"]


@settings(max_examples=200, deadline=None)
@given(
    task=st.sampled_from(TASKS),
    text=st.text(st.sampled_from("abcz|0129+= \n\tñ🙂<&"), max_size=80),
)
def test_a_text_is_read_or_refused_as_in_python(live, task, text):
    about = {"vocabulary": list(task.vocabulary), "separated": task.separated}
    made = live("readSequence", text, about, task.length)
    try:
        expected, refusal = task.tokens_of(text), ""
    except ValueError as error:
        expected, refusal = None, str(error)

    assert made["ids"] == expected
    # By the same rule: there are too few or too many, or one is unknown.
    assert ("tokens; got" in made["problem"]) == ("tokens; got" in refusal)


def test_a_refusal_names_the_rule_the_value_and_the_place(live):
    about = {"vocabulary": ["a", "b"], "separated": True}
    assert live("readSequence", " \n", about, 3)["problem"].endswith("1 to 3 tokens; got 0")
    assert live("readSequence", "a " * 4, about, 3)["problem"].endswith("1 to 3 tokens; got 4")
    refused = live("readSequence", "a <b>" + "x" * 99, about, 3)["problem"]
    assert refused == (
        "each token must be one of the vocabulary; got “<b>" + "x" * 37 + "” as token 1"
    )


def mulberry32(seed, count):
    """Return the first numbers of Tommy Ettinger's generator, in integers of 32 bits."""
    mask = 2**32 - 1
    numbers = []
    for _ in range(count):
        seed = (seed + 0x6D2B79F5) & mask
        mixed = ((seed ^ (seed >> 15)) * (seed | 1)) & mask
        mixed ^= (mixed + ((mixed ^ (mixed >> 7)) * (mixed | 61) & mask)) & mask
        numbers.append((mixed ^ (mixed >> 14)) / 2**32)
    return numbers


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_seed_gives_the_numbers_of_its_generator(live, seed):
    np.testing.assert_array_equal(live("random", seed, 20), mulberry32(seed, 20))


LOGS = np.log(np.array([0.4, 0.05, 0.3, 0.05, 0.2]))


@pytest.mark.parametrize(
    ("temperature", "top_k", "expected"),
    [
        (1.0, 5, [0.4, 0.05, 0.3, 0.05, 0.2]),
        (1.0, 2, [0.4 / 0.7, 0, 0.3 / 0.7, 0, 0]),
        (0.5, 3, np.array([0.16, 0, 0.09, 0, 0.04]) / 0.29),
        (2.0, 4, np.sqrt([0.4, 0.05, 0.3, 0, 0.2]) / np.sqrt([0.4, 0.05, 0.3, 0.2]).sum()),
        (0.0, 5, [1, 0, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_as_often_as_temperature_and_top_k_say(live, temperature, top_k, expected):
    sampling = {"temperature": temperature, "topK": top_k, "seed": 0}
    # Evenly spread numbers: each token's count is within one of its share.
    numbers = (np.arange(10_000) + 0.5) / 10_000
    drawn = live("draw", LOGS, sampling, numbers)
    counts = np.bincount(drawn, minlength=5)
    np.testing.assert_allclose(counts / 10_000, expected, rtol=0, atol=1.1e-4)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"temperature": -0.1}, "the temperature must be from 0 to 10; got -0.1"),
        ({"temperature": float("nan")}, "the temperature must be from 0 to 10; got no number"),
        ({"temperature": float("inf")}, "the temperature must be from 0 to 10; got Infinity"),
        ({"topK": 0}, "top-k must be an integer from 1 to 5; got 0"),
        ({"topK": 6}, "top-k must be an integer from 1 to 5; got 6"),
        ({"topK": 1.5}, "top-k must be an integer from 1 to 5; got 1.5"),
        ({"seed": -1}, "the seed must be an integer from 0 to 4294967295; got -1"),
        ({"seed": 2**32}, "the seed must be an integer from 0 to 4294967295; got 4294967296"),
    ],
)
def test_choices_that_break_a_rule_are_refused(live, change, rule):
    choices = {"temperature": 1.0, "topK": 5, "seed": 0}
    assert live("samplingProblem", choices, 5) == ""
    assert live("samplingProblem", choices | change, 5) == rule


def test_of_equally_likely_tokens_the_first_comes_first(live):
    assert live("likeliest", LOGS, 5) == [0, 2, 4, 1, 3]
