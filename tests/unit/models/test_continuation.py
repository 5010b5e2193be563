"""Writing on: drawn as PyTorch's scores say, within bounds, until it ends."""

from __future__ import annotations

import re
from contextlib import nullcontext
from itertools import islice

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", reason="no transformers: `make install` brings it")

from attnpanel.models.continuation import (  # noqa: E402
    WritingChoices,
    draw_token,
    log_probabilities,
    random_numbers,
    write_prompt,
    writer_of,
)
from attnpanel.models.intervene.intervene import intervene  # noqa: E402
from attnpanel.models.loading import load_model  # noqa: E402
from attnpanel.models.prompts import trace_ids  # noqa: E402
from attnpanel.models.tokens import names_of_ids  # noqa: E402
from tests.tiny_encoders import save_encoder  # noqa: E402
from tests.tiny_language_models import LIMIT, MODELS, save_gpt2  # noqa: E402

TEXT = "The page computes"
GREEDY = WritingChoices(7, 0, 5, 1)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request, tmp_path_factory):
    return str(MODELS[request.param](tmp_path_factory.mktemp("decoder") / request.param))


def written(folder, choices=GREEDY, *, text=TEXT, stop_after=None, **options):
    """Write on; return the tokens as they came, and the whole."""
    came = []
    whole = write_prompt(
        text,
        folder,
        choices,
        on_token=came.append,
        stopped=lambda: len(came) == stop_after,
        **options,
    )
    assert tuple(came) == whole.written
    return came, whole


def likeliest(folder, count, **change):
    """What the model gives most of its probability to, one whole pass a token."""
    loaded = load_model(folder, head=True)
    ids = loaded.tokenizer(TEXT)["input_ids"]
    start = len(ids)
    changed = intervene(loaded.model.base_model, **change) if change else nullcontext()
    with torch.no_grad(), changed:
        for _ in range(count):
            logits = loaded.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            ids.append(int(logits.argmax()))
    return ids, names_of_ids(loaded.tokenizer, ids[start:])


def test_at_temperature_0_each_token_is_the_likeliest_and_its_attention_is_recorded(folder):
    came, whole = written(folder)

    ids, names = likeliest(folder, 7)
    assert [token.token for token in came] == list(names)
    assert {token.prompt for token in came} == {len(ids) - 7}
    again = trace_ids(load_model(folder), ids)
    assert whole.trace.query_tokens == again.query_tokens
    for call, other in zip(whole.trace.calls, again.calls, strict=True):
        np.testing.assert_allclose(call.weights(1), other.weights(1), rtol=0, atol=1e-6)
    *typed, _, _, _, _, _, _, _ = whole.trace.origins.texts[0]
    assert whole.trace.origins.texts[0] == (*typed, *[""] * 7)  # no part of the typed text
    assert typed[-1].endswith("s")
    assert (whole.change, whole.ended) == (None, False)


@pytest.mark.parametrize("change", [{"scale": 0.0}, {"mask": "window", "window": 3}])
def test_under_a_change_it_writes_what_the_changed_model_expects(folder, change):
    change = {"layer": 0, "head": 1, **change}
    came, whole = written(folder, change=change)

    named = change | {"layer": whole.trace.calls[0].layer}
    ids, names = likeliest(folder, 7, **named)
    assert [token.token for token in came] == list(names)
    before = trace_ids(load_model(folder), ids).calls[1].weights(0)
    np.testing.assert_allclose(whole.change.before.calls[1].weights(0), before, atol=1e-6)
    assert np.abs(whole.trace.calls[1].weights(0) - before).max() > 1e-3


def test_candidates_have_the_probabilities_of_the_softmax(folder):
    came, whole = written(folder, WritingChoices(4, 10, 400, 3))

    loaded = load_model(folder, head=True)
    tokenizer = loaded.tokenizer
    names = names_of_ids(tokenizer, range(len(tokenizer)))
    numbers = {name: number for number, name in enumerate(names)}
    ids = [numbers[name] for name in whole.trace.query_tokens[0]]
    with torch.no_grad():
        chances = torch.softmax(loaded.model(torch.tensor([ids])).logits[0].double(), -1).numpy()
    for at, token in enumerate(came, start=len(ids) - len(came) - 1):
        shown = [numbers[one.name] for one in token.candidates]
        assert shown[:8] == np.argsort(-chances[at], kind="stable")[:8].tolist()
        np.testing.assert_allclose(
            [one.chance for one in token.candidates], chances[at, shown], atol=1e-5
        )
        assert [one.name for one in token.candidates if one.drawn] == [token.token]


def test_it_ends_with_the_models_end_the_limit_and_the_reader(folder, monkeypatch):
    came, _ = written(folder, stop_after=2)
    assert len(came) == 2

    _, whole = written(folder, WritingChoices(500, 1, 9, 1), max_tokens=11)
    assert len(whole.trace.query_tokens[0]) == 11
    _, whole = written(folder, WritingChoices(500, 1, 9, 1))
    assert len(whole.trace.query_tokens[0]) == LIMIT

    ids, _ = likeliest(folder, 3)
    loaded = load_model(folder, head=True)
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", ids[-1])
    came, whole = written(folder)
    assert (len(came), whole.ended) == (3 - ids[-3:-1].count(ids[-1]), True)


def test_what_can_not_be_followed_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"top_k must be at most [45]00; got 501"):
        written(folder, WritingChoices(1, 1, 501, 1))
    with pytest.raises(ValueError, match="character other than white space"):
        written(folder, text=" ")
    with pytest.raises(ValueError, match=r"layer must be in 0\.\.1; got 2"):
        written(folder, change={"layer": 2, "scale": 0.0})
    encoder = str(save_encoder(tmp_path / "bert"))
    assert writer_of(encoder, 99) is None
    with pytest.raises(ValueError, match="trained to predict the next token to write on; 'bert'"):
        written(encoder)


def test_a_writer_says_how_many_tokens_it_chooses_from_and_reads(tmp_path):
    folder = str(save_gpt2(tmp_path / "tiny"))

    writer = writer_of(folder, 512)

    assert (writer.name, writer.next_tokens, writer.limit) == ("tiny", 400, LIMIT)
    assert writer_of(folder, 20).limit == 20


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "write must be count, temperature, top-k and seed, such as 40,0.8,40,1; got ''"),
        ("1,2,3", "write must be count, temperature, top-k and seed"),
        ("1.5,1,1,1", "write must be count, temperature, top-k and seed"),
        ("0,1,1,1", "count must be an integer from 1 to 500; got 0"),
        ("501,1,1,1", "count must be an integer from 1 to 500; got 501"),
        ("1,nan,1,1", "temperature must be a number from 0 to 10; got nan"),
        ("1,10.1,1,1", "temperature must be a number from 0 to 10; got 10.1"),
        ("1,1,0,1", "top_k must be an integer at least 1; got 0"),
        ("1,1,1,-1", "seed must be an integer from 0 to 4294967295; got -1"),
        ("1,1,1,4294967296", "seed must be an integer from 0 to 4294967295; got 4294967296"),
    ],
)
def test_choices_out_of_bounds_are_refused_with_rule_and_value(text, problem):
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        WritingChoices.parse(text)


def test_a_link_holds_the_choices():
    for choices in (WritingChoices(500, 0.1, 50_257, 2**32 - 1), WritingChoices(1, 10, 1, 0)):
        assert WritingChoices.parse(choices.to_text()) == choices


def test_tokens_are_drawn_as_often_as_their_probabilities_say():
    logs = log_probabilities(np.array([1.0, -np.inf, 3.0, 2.0], np.float32))
    np.testing.assert_allclose(np.exp(logs).sum(), 1, rtol=1e-12)
    candidates = np.array([2, 3, 0])
    # At temperature 2: shares 1, e^-0.5 and e^-1.
    shares = np.exp([0, -0.5, -1.0])
    drawn = [
        draw_token(logs, candidates, 2, number) for number in islice(random_numbers(5), 20_000)
    ]
    counts = [drawn.count(each) / len(drawn) for each in candidates]
    # Five standard deviations of a share of 20,000 draws.
    np.testing.assert_allclose(counts, shares / shares.sum(), rtol=0, atol=0.018)
    assert draw_token(logs, candidates, 0, 0.999) == 2
    assert draw_token(logs, candidates, 1e-320, 0.999) == 2


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(
        ValueError, match="scores of next tokens must be finite; the largest is nan"
    ):
        log_probabilities(np.array([1.0, np.nan]))
