"""A model in JavaScript tokenizes as transformers does, and computes what PyTorch does."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.analysis import numbers_of_heads
from attnpanel.models.continuation import WritingChoices, continuation
from attnpanel.models.generation import trace_generation
from attnpanel.models.live_model import FAMILIES, store_model
from attnpanel.models.live_model.tokenizer_settings import tokenizer_settings
from attnpanel.models.loading import LoadedModel, load_model
from attnpanel.models.prompts import change_prompt, load_for_output, trace_ids, trace_prompt
from attnpanel.models.tokens import names_of_ids, origins_of
from tests.browser_kernel.conftest import KernelError, node_running
from tests.tiny_encoders import tokenizer
from tests.tiny_language_models import MODELS

pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
TEXT = "The cat does not fit; it is too large. The cat!"
DECODERS = [row.model_type for row in FAMILIES if row.causal]
KERNELS = ("wasm-relaxed-simd", "wasm-simd", "javascript")
# What makes tokenizers differ: accents, case, signs, ideographs, marks, controls, special tokens.
LETTERS = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from(
        ["a", "b", "é", "e\u0301", "İ", "ß", "Σ", "東", "\t", "\x0b", "\x85", "\u3000", "'", "#"]
    ),
    st.sampled_from(["[MASK]", "[SEP]", "[UNK", " ", "cat", "un", "able", "\ufffd", "\u200d"]),
)


@pytest.fixture(scope="module")
def live():
    with node_running(Path(__file__).with_name("live_model.mjs")) as node:
        yield node


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Store a model whose matrices are numbers of float16 where Node finds it."""

    def store(kind):
        folder = tmp_path_factory.mktemp("live") / kind
        loaded = load_model(str(MODELS[kind](folder, rounded=True)))
        stored = store_model(load_for_output(str(folder)), trace_prompt(TEXT, str(folder)))
        assert stored.description["error"]["weights"] == 0.0
        path = folder / "weights.bin"
        path.write_bytes(stored.data)
        return loaded, json.loads(json.dumps(stored.description)), str(path)

    return cache(store)


@pytest.fixture(scope="module", params=MODELS)
def rounded(request, stored):
    """A model of each family."""
    return stored(request.param)


@pytest.fixture(params=DECODERS)
def decoder(request, stored):
    """A model of each family that predicts the next token."""
    return stored(request.param)


@pytest.mark.parametrize("lowercase", [True, False])
@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.lists(LETTERS, max_size=30).map("".join), min_size=1, max_size=20))
def test_texts_become_the_tokens_that_transformers_gives(live, lowercase, texts):
    known = TOKENIZERS[lowercase]
    live("openTokenizer", SETTINGS[lowercase])
    assert live("encode", texts) == known(texts)["input_ids"]


@pytest.mark.parametrize("lowercase", [True, False])
def test_tokens_say_which_part_of_the_text_they_came_from(live, lowercase):
    live("openTokenizer", SETTINGS[lowercase])
    text = " The Caf\xe9, unable\tDOG 東 😀? cafe\u0301 [MASK]!"
    (expected,) = origins_of(TOKENIZERS[lowercase], [text]).texts
    assert live("origins", text) == list(expected)


TOKENIZERS = {lowercase: tokenizer(lowercase=lowercase) for lowercase in (True, False)}
SETTINGS = {lowercase: tokenizer_settings(known) for lowercase, known in TOKENIZERS.items()}


def test_words_of_more_than_a_hundred_letters_are_unknown(live):
    live("openTokenizer", SETTINGS[True])
    texts = ["c" * 100, "c" * 101, "ç" * 100]
    assert live("encode", texts) == TOKENIZERS[True](texts)["input_ids"]


@pytest.mark.thorough(but=5)
@pytest.mark.parametrize("kernel", KERNELS)
def test_attention_is_what_pytorch_computes(live, rounded, kernel):
    loaded, description, path = rounded
    live("openModel", description, path, kernel)
    ids = loaded.tokenizer(TEXT)["input_ids"]
    trace = trace_ids(loaded, ids)
    made = live("run", ids)

    for call, layer in zip(trace.calls, made, strict=True):
        for name in ("query", "key", "value"):
            expected = getattr(call, name)
            # Sums of 19 terms of about 1 in 32 bits, through two layers; GELU within 1.5e-7.
            np.testing.assert_allclose(layer[name].reshape(expected.shape), expected, atol=2e-5)
    for call, heads in zip(trace.calls, live("weights", ids), strict=True):
        for head, weights in enumerate(heads):
            expected = call.weights(head)
            np.testing.assert_allclose(weights.reshape(expected.shape), expected, atol=1e-5)


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 13,
}


@pytest.mark.parametrize(
    ("kind", "options", "text"),
    [
        # A padding token has a position of its own, which those behind it do not count.
        ("roberta", {}, "<pad>The page<pad><pad> reads <mask>"),
        ("gpt2", {"activation_function": "relu"}, TEXT),
        ("llama", {"rope_parameters": LLAMA3}, TEXT),
        ("llama", {"attention_bias": True, "mlp_bias": True, "hidden_act": "gelu"}, TEXT),
        ("llama", {"num_key_value_heads": 1, "head_dim": 6}, TEXT),
    ],
)
def test_options_of_a_family_are_followed(live, tmp_path, kind, options, text):
    folder = str(MODELS[kind](tmp_path / kind, rounded=True, **options))
    loaded = load_model(folder)
    stored = store_model(loaded, trace_prompt(text, folder))
    path = tmp_path / "weights.bin"
    path.write_bytes(stored.data)
    live("openModel", json.loads(json.dumps(stored.description)), str(path), "wasm-simd")
    (ids,) = live("encode", [text])
    assert ids == loaded.tokenizer(text)["input_ids"]
    for call, heads in zip(trace_prompt(text, folder).calls, live("weights", ids), strict=True):
        for head, weights in enumerate(heads):
            expected = call.weights(head)
            np.testing.assert_allclose(weights.reshape(expected.shape), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_tokens_read_one_after_another_give_the_same(live, decoder, kernel):
    _, description, path = decoder
    live("openModel", description, path, kernel)
    (ids,) = live("encode", [TEXT])
    made = live("continued", [ids[:7], ids[7:10], *([number] for number in ids[10:])])
    for layer, expected in zip(made["layers"], live("run", ids), strict=True):
        for name in ("query", "key", "value"):
            # Sums in another order.
            np.testing.assert_allclose(layer[name], expected[name], atol=2e-5)


def test_the_scores_of_the_next_token_are_pytorchs(live, decoder):
    import torch

    loaded, description, path = decoder

    model = load_model(str(Path(path).parent), head=True).model
    live("openModel", description, path, "wasm-simd")
    ids = loaded.tokenizer(TEXT)["input_ids"]
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0, -1].numpy()
    # Sums of 15 products of about 1.
    np.testing.assert_allclose(live("continued", [ids])["logits"], expected, atol=5e-5)


def test_at_temperature_0_it_writes_what_pytorch_generates_until_it_ends(live, decoder):
    _, description, path = decoder
    live("openModel", description, path, "wasm-simd")
    (ids,) = live("encode", ["The page"])
    choices = {"count": 9, "temperature": 0, "topK": 5, "seed": 1}
    made = live("write", ids, choices, [])

    folder = str(Path(path).parent)
    trace = trace_generation("The page", folder, new_tokens=9)
    names = names_of_ids(load_model(folder).tokenizer, made["read"])
    assert names[:-1] == trace.query_tokens[0]
    # Cut off by a token that ends a text, and by the limit.
    choices |= {"temperature": 10, "topK": description["nextTokens"]}
    tokens = live("write", ids, choices, [])["tokens"]
    stop = tokens.index(tokens[4]) + 1
    assert live("write", ids, choices, [tokens[4]])["tokens"] == tokens[:stop]
    limit = description["limit"]
    assert len(live("write", [5] * (limit - 2), choices, [])["read"]) == limit


@pytest.mark.parametrize("seed", [0, 4, 2**32 - 1])
def test_a_seed_writes_in_a_file_what_it_writes_on_a_server(live, decoder, seed):
    loaded, description, path = decoder
    live("openModel", description, path, "javascript")
    ids = loaded.tokenizer(TEXT)["input_ids"]
    choices = {"count": 15, "temperature": 3, "topK": 300, "seed": seed}
    made = live("write", ids, choices, description["ends"])

    served = list(
        continuation(
            load_model(str(Path(path).parent), head=True),
            ids,
            WritingChoices(15, 3, 300, seed),
            description["limit"],
        )
    )
    assert made["tokens"] == [token for token, _ in served]
    for candidates, (_, likely) in zip(made["candidates"], served, strict=True):
        assert [row["id"] for row in candidates] == [token for token, _ in likely]
        np.testing.assert_allclose(
            [row["chance"] for row in candidates], [chance for _, chance in likely], atol=1e-5
        )


def test_candidates_are_the_likeliest_tokens_and_the_one_drawn(live, decoder):
    import torch

    loaded, description, path = decoder
    model = load_model(str(Path(path).parent), head=True).model
    live("openModel", description, path, "wasm-simd")
    ids = loaded.tokenizer(TEXT)["input_ids"]
    count = description["nextTokens"]
    made = live("write", ids, {"count": 3, "temperature": 10, "topK": count, "seed": 3}, [])
    read = ids
    for token, candidates in zip(made["tokens"], made["candidates"], strict=True):
        with torch.no_grad():
            chances = torch.softmax(model(torch.tensor([read])).logits[0, -1].double(), -1).numpy()
        expected = [*np.argsort(-chances)[:8]]
        expected += [] if token in expected else [token]
        assert [row["id"] for row in candidates] == expected
        np.testing.assert_allclose(
            [row["chance"] for row in candidates], chances[expected], rtol=0, atol=1e-5
        )
        read = [*read, token]
    again = live("write", ids, {"count": 3, "temperature": 10, "topK": count, "seed": 3}, [])
    assert again["tokens"] == made["tokens"]


def test_the_numbers_of_heads_are_those_of_the_analysis(live, rounded):
    loaded, description, path = rounded
    live("openModel", description, path, "javascript")
    # Repeats of a token with none, one and more between them.
    ids = loaded.tokenizer("cat cat a cat dog, on a dog mat cat")["input_ids"]
    made = live("numbers", ids)
    for call, heads in zip(trace_ids(loaded, ids).calls, made, strict=True):
        expected = numbers_of_heads(call, loaded.tokenizer.convert_ids_to_tokens(ids))
        for name, values in expected.items():
            np.testing.assert_allclose([head[name] for head in heads], values, rtol=1e-4, atol=1e-5)


def test_without_a_repeated_token_there_is_no_induction(live, rounded):
    loaded, description, path = rounded
    live("openModel", description, path, "javascript")
    (first, *_), *_ = live("numbers", loaded.tokenizer("the cat")["input_ids"])
    assert first["induction"] is None


def test_more_tokens_than_the_model_reads_are_refused(live, rounded):
    _, description, path = rounded
    live("openModel", description, path, "javascript")
    limit = description["limit"]
    assert len(live("run", [5] * limit)) == 2
    with pytest.raises(Exception, match=f"at most {limit} tokens; this text has {limit + 1}"):
        live("run", [5] * (limit + 1))


def test_numbers_that_are_not_finite_are_refused(live, rounded):
    loaded, description, path = rounded
    data = bytearray(Path(path).read_bytes())
    words = next(row for row in description["tensors"] if row["name"] == "words")
    data[words["at"] + 1] |= 0x7C  # infinite, or not a number
    broken = Path(path).with_name("broken.bin")
    broken.write_bytes(bytes(data))
    live("openModel", description, str(broken), "wasm-simd")
    with pytest.raises(Exception, match="numbers that are not finite"):
        live("run", [0, 5])
    del loaded


@pytest.mark.model
def test_minilm_in_javascript_is_pytorchs_but_for_the_rounding(live, tmp_path):
    from attnpanel.models.loading import MINILM

    loaded: LoadedModel = load_model(MINILM)
    stored = store_model(loaded, trace_prompt("It fits."))
    path = tmp_path / "weights.bin"
    path.write_bytes(stored.data)
    live("openModel", json.loads(json.dumps(stored.description)), str(path), "wasm-simd")
    text = "The animal didn't cross the street: Zürich, 東京, unbelievable!"
    (ids,) = live("encode", [text])
    assert ids == loaded.tokenizer(text)["input_ids"]
    for call, heads in zip(trace_prompt(text).calls, live("weights", ids), strict=True):
        for head, weights in enumerate(heads):
            expected = call.weights(head)
            # The mark of the offline file.
            np.testing.assert_allclose(weights.reshape(expected.shape), expected, atol=1.5e-3)


def test_what_a_knocked_out_head_changes_is_what_pytorch_computes(live, rounded):
    loaded, description, path = rounded
    live("openModel", description, path, KERNELS[0])
    ids = loaded.tokenizer(TEXT)["input_ids"]
    predicts = description["nextTokens"] > 0
    change = change_prompt(TEXT, str(Path(path).parent), layer=0, head=1, scale=0)

    made = live("knockedOut", ids, "0.1", predicts)

    moved = []
    for before, after, layer in zip(
        change.before.calls, change.after.calls, made["weights"], strict=True
    ):
        expected = np.stack([after.weights(head) for head in range(after.heads)])
        shown = np.stack([head.reshape(len(ids), len(ids)) for head in layer])
        np.testing.assert_allclose(shown, np.nan_to_num(expected), rtol=0, atol=1e-5)
        unchanged = np.stack([before.weights(head) for head in range(before.heads)])
        moved.append(np.abs(expected - unchanged).sum(axis=(1, 2)) / 2 / len(ids))
    np.testing.assert_allclose(made["change"]["heads"], moved, rtol=0, atol=1e-5)
    assert change.output.kind == ("prediction" if predicts else "embedding")
    np.testing.assert_allclose(made["change"]["tokens"], change.output.moved, rtol=0, atol=2e-5)
    assert max(made["change"]["tokens"]) > 2e-4
    if predicts:
        shown = [
            [(one["before"], one["after"]) for one in row] for row in made["change"]["expected"]
        ]
        expected = [[(one.before, one.after) for one in row] for row in change.output.candidates]
        np.testing.assert_allclose(shown, expected, rtol=0, atol=2e-5)
    else:
        assert made["change"]["whole"] == pytest.approx(change.output.whole, abs=2e-5)


@pytest.mark.parametrize("heads", ["2.0", "0.3", "0", "a.b", "0.1;1.1", "0.1,", "-1.0", "0.1.1"])
def test_a_head_that_a_model_lacks_is_an_error_with_the_rule(live, stored, heads):
    _loaded, description, path = stored("gpt2")
    live("openModel", description, path, KERNELS[0])
    last = f"{description['layers'] - 1}.{description['heads'] - 1}"

    with pytest.raises(KernelError, match=f"heads must be LAYER.HEAD from 0.0 to {last}"):
        live("knockedOut", [1, 2], heads)
