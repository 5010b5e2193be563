"""A model is stored to the bit that float16 has, or refused with the reason."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from attnpanel.models.live_model import stored_model
from attnpanel.models.live_model.families import FAMILIES, ModelFamily, family_of
from attnpanel.models.live_model.stored_model import store_model
from attnpanel.models.live_model.tokenizer_settings import tokenizer_settings, unreachable_ids
from attnpanel.models.loading import LoadedModel, load_model
from attnpanel.models.prompts import trace_ids, trace_prompt
from attnpanel.models.toy import toy_trace
from tests.tiny_encoders import tokenizer, vocabulary
from tests.tiny_language_models import END, MODELS, byte_level_tokenizer

pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
from tokenizers import Regex, models, normalizers, pre_tokenizers

TEXT = "The cat does not fit, unsable 東."


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory) -> str:
    return str(MODELS[request.param](tmp_path_factory.mktemp("models") / request.param))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> str:
    return str(MODELS["bert"](tmp_path_factory.mktemp("models") / "bert"))


def tensor(stored, name: str) -> np.ndarray:
    about = next(row for row in stored.description["tensors"] if row["name"] == name)
    count = int(np.prod(about["shape"]))
    array = np.frombuffer(stored.data, about["dtype"], count, about["at"])
    return array.reshape(about["shape"])


def test_the_bytes_hold_the_weights_of_the_model_in_float16(folder):
    loaded = load_model(folder)
    stored = store_model(loaded, trace_prompt(TEXT, folder))
    state = loaded.model.state_dict()
    second = {
        "bert": "encoder.layer.1.intermediate.dense",
        "distilbert": "transformer.layer.1.ffn.lin1",
        "roberta": "encoder.layer.1.intermediate.dense",
        "gpt2": "h.1.mlp.c_fc",
        "llama": "layers.1.mlp.up_proj",
    }
    kind = loaded.model.config.model_type
    name = second[kind]

    weight = state[f"{name}.weight"].numpy()
    weight = weight.T if kind == "gpt2" else weight
    np.testing.assert_array_equal(tensor(stored, "1.up.weight"), weight.astype(np.float16))
    if kind != "llama":  # which has no biases
        bias = state[f"{name}.bias"].numpy()
        np.testing.assert_array_equal(tensor(stored, "1.up.bias"), bias.astype(np.float16))
    assert stored.description["weights"] == sum(
        int(np.prod(row["shape"])) for row in stored.description["tensors"]
    )


def test_the_stated_error_is_that_of_the_rounded_weights(folder):
    loaded = load_model(folder)
    trace = trace_prompt(TEXT, folder)
    error = store_model(loaded, trace).description["error"]

    assert error["rows"] == 2 * trace.calls[0].heads * len(trace.query_tokens[0])
    # Rounding to 11 bits moves scores of some units by some thousandths.
    assert 1e-5 < error["weights"] < 2e-2


def test_the_embeddings_left_out_are_of_pieces_that_no_text_gives():
    settings = tokenizer_settings(tokenizer())
    left_out = {
        vocabulary()[number]
        for first, last in unreachable_ids(tokenizer(), settings)
        for number in range(first, last + 1)
    }
    # Accents are stripped, ideographs and signs stand alone.
    assert left_out == {"é", "##é", "##東", "...", "[unused1]"}


def test_a_decoder_keeps_the_embedding_of_every_token_that_it_may_draw():
    import torch
    import transformers

    sizes = {"n_positions": 23, "n_embd": 6, "n_layer": 1, "n_head": 2, "vocab_size": 79}
    with torch.random.fork_rng(devices=[]):
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes)).eval()
    loaded = LoadedModel("pieces", model, tokenizer())
    stored = store_model(loaded, trace_ids(loaded, loaded.tokenizer(TEXT)["input_ids"]))
    assert stored.description["withoutEmbedding"] == []
    assert stored.description["nextTokens"] == len(vocabulary()) == 79


def test_the_stated_error_is_against_the_precision_that_the_model_runs_in(folder):
    import torch

    known = load_model(folder)
    loaded = LoadedModel(known.name, copy.deepcopy(known.model).bfloat16(), known.tokenizer)
    ids = known.tokenizer(TEXT)["input_ids"]
    # The page computes in 32 bits: what bfloat16's 8 change is far more than float16's 11.
    assert store_model(loaded, trace_ids(loaded, ids)).description["error"]["weights"] > 2e-3
    assert loaded.model.dtype == torch.bfloat16


def test_the_prompt_is_text_that_gives_the_same_tokens(encoder):
    stored = store_model(load_model(encoder), trace_prompt("The cat sat.", encoder))
    assert stored.description["prompt"] == "the cat sat."
    stored = store_model(load_model(encoder), trace_prompt("The [UNK]?", encoder))
    assert stored.description["prompt"] == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"is_decoder": True}, "is_decoder must be False; got True"),
        ({"hidden_act": "mish"}, "hidden_act must be one of gelu, .*; got 'mish'"),
    ],
)
def test_a_bert_of_another_kind_is_refused_with_the_reason(options, words):
    import transformers

    with pytest.raises(ValueError, match=words):
        family_of(transformers.BertConfig(**options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "inverse_layer_idx must be False; got True"),
        ({"activation_function": "mish"}, "activation_function must be one of .*; got 'mish'"),
    ],
)
def test_a_gpt2_of_another_kind_is_refused_with_the_reason(options, words):
    import transformers

    with pytest.raises(ValueError, match=words):
        family_of(transformers.GPT2Config(**options))


def test_angles_that_change_with_the_length_are_refused():
    import transformers

    options = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    with pytest.raises(ValueError, match=r"rope_type must be one of default, .*; got 'dynamic'"):
        family_of(transformers.LlamaConfig(rope_parameters=options))


def test_another_family_is_refused_by_name():
    import transformers

    with pytest.raises(ValueError, match=r"known family \(bert, roberta, .*\); got 'opt'"):
        family_of(transformers.OPTConfig())


def test_a_row_alone_adds_a_family(monkeypatch):
    import transformers

    row = replace(FAMILIES[0], model_type="electra", label="ELECTRA")
    monkeypatch.setattr("attnpanel.models.live_model.families.FAMILIES", (*FAMILIES, row))
    family = family_of(transformers.ElectraConfig())
    assert isinstance(family, ModelFamily)
    assert family.shape(transformers.ElectraConfig())["headDim"] == 64


def test_too_many_weights_and_weights_beyond_float16_are_refused(folder, monkeypatch):
    import torch

    loaded, trace = load_model(folder), trace_prompt(TEXT, folder)
    large = LoadedModel(loaded.name, copy.deepcopy(loaded.model), loaded.tokenizer)
    with torch.no_grad():
        next(large.model.parameters())[0, 0] = 7e4
    with pytest.raises(ValueError, match=r"at most 65504; .*weight has 7e\+04"):
        store_model(large, trace)
    monkeypatch.setattr(stored_model, "MAX_WEIGHTS", 1_000)
    with pytest.raises(ValueError, match="must have at most 0 million weights"):
        store_model(loaded, trace)


def test_a_trace_that_the_model_did_not_compute_is_refused(folder, tmp_path):
    loaded = load_model(folder)
    with pytest.raises(ValueError, match=r"must show one prompt's 2 layers of [36] heads"):
        store_model(loaded, toy_trace())
    with pytest.raises(ValueError, match=r"must show one prompt's 2 layers of [36] heads"):
        store_model(loaded, trace_prompt(["The cat.", "A dog."], folder))
    kind = loaded.model.config.model_type
    other = str(MODELS[kind](tmp_path / "other", seed=8))
    with pytest.raises(ValueError, match=r"must show what .* gives for its tokens"):
        store_model(loaded, trace_prompt(TEXT, other))


def test_tokens_of_one_name_are_told_apart(tmp_path):
    folder = str(MODELS["gpt2"](tmp_path / "gpt2"))
    text = "a\nb \u6771 the"
    stored = store_model(load_model(folder), trace_prompt(text, folder))
    assert stored.description["prompt"] == text


def changed(part: str, value: object) -> Any:
    """Return a byte-level tokenizer with another part, or another option of its model."""
    made = copy.deepcopy(byte_level_tokenizer())
    backend = made.backend_tokenizer
    setattr(backend if hasattr(backend, part) else backend.model, part, value)
    return made


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("dropout", 0.5, "dropout must be None or 0.0; got 0.5"),
        ("normalizer", normalizers.NFC(), "its normalizer must be 'Sequence' .*; got 'NFC'"),
        ("pre_tokenizer", pre_tokenizers.Whitespace(), "its pre-tokenizer must be .*; got 'White"),
        (
            "pre_tokenizer",
            pre_tokenizers.Split(Regex("x"), "isolated"),
            "the expression of its pre-tokenizer must be .*; got 'x'",
        ),
        ("pre_tokenizer", None, "byte_fallback without a pre-tokenizer of bytes must be True"),
        (
            "model",
            models.BPE({END: 0, "a": 1}, []),
            "the first byte without a token must be None; got '!'",
        ),
        (
            "model",
            models.Unigram([("a", 0.0)]),
            "model must be 'WordPiece' or 'BPE'; got 'Unigram'",
        ),
    ],
)
def test_a_byte_pair_tokenizer_of_another_kind_is_refused_with_the_reason(part, value, words):
    with pytest.raises(ValueError, match=words):
        tokenizer_settings(changed(part, value))


def test_a_tokenizer_of_another_kind_is_refused_with_the_reason():
    other = tokenizer()
    other.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(
        ValueError, match="pre-tokenizer must be 'BertPreTokenizer'; got 'Whitespace'"
    ):
        tokenizer_settings(other)
    other = tokenizer()
    other.split_special_tokens = True
    with pytest.raises(ValueError, match="split_special_tokens must be False; got True"):
        tokenizer_settings(other)
