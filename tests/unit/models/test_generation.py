"""Generation: the trace covers prompt and continuation."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402

from attnpanel import Trace, trace_generation, trace_prompt  # noqa: E402
from attnpanel.__main__ import main  # noqa: E402
from attnpanel.models import loading  # noqa: E402

TEXT = "the cat sat on the mat"
SIZES = {
    "vocab_size": 300,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 16,
    "eos_token_id": None,
}


@pytest.fixture(autouse=True)
def nothing_loaded_before(monkeypatch):
    monkeypatch.setattr(loading, "_loaded", {})


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    made.train_from_iterator([TEXT] * 3, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)


@pytest.fixture
def saved(tmp_path, tokenizer, capfd):
    """Save a tiny model with its tokenizer; return its folder."""

    def save(model):
        folder = tmp_path / "tiny"
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        capfd.readouterr()
        return str(folder)

    return save


def llama(kind="LlamaForCausalLM"):
    torch.manual_seed(2)
    return getattr(transformers, kind)(transformers.LlamaConfig(**SIZES))


def test_the_trace_matches_one_pass_over_the_text(saved):
    folder = saved(llama())
    updates = []

    written = trace_generation(
        TEXT, folder, new_tokens=5, progress=lambda *update: updates.append(update)
    )

    # Six tokens and five new ones, of which the last is never an input.
    (tokens,) = written.query_tokens
    assert len(tokens) == 10
    assert "".join(tokens).startswith(TEXT)
    (call,) = written.calls
    assert (written.source, written.model, call.layer) == (
        "generation",
        "tiny",
        "layers.0.self_attn",
    )
    assert written.tokens_of(call) == (tokens, tokens)
    assert (call.query_len, call.key_len, call.causal) == (10, 10, "top_left")
    (prompt,) = trace_prompt(TEXT, folder).calls
    np.testing.assert_allclose(call.weights(1)[:6, :6], prompt.weights(1), rtol=0, atol=1e-5)
    assert [fraction for fraction, _ in updates] == sorted(fraction for fraction, _ in updates)
    assert updates[-1][0] == 1.0


def test_an_encoder_decoder_writes_another_text(saved):
    config = transformers.T5Config(
        vocab_size=300,
        d_model=8,
        d_kv=4,
        d_ff=8,
        num_layers=1,
        num_heads=2,
        decoder_start_token_id=0,
        eos_token_id=None,
    )
    folder = saved(transformers.T5ForConditionalGeneration(config))

    trace = trace_generation(TEXT, folder, new_tokens=4)

    encoder, decoder, cross = trace.calls
    assert "".join(trace.key_tokens[0]) == TEXT
    assert [len(part) for part in trace.tokens_of(encoder)] == [6, 6]
    assert (decoder.query_len, cross.query_len, cross.key_len) == (4, 4, 6)
    assert trace.tokens_of(cross) == (trace.query_tokens[0], trace.key_tokens[0])


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"text": " "}, "other than white space"),
        ({"new_tokens": 0}, "new_tokens must be at least 1; got 0"),
        ({"max_tokens": 8}, "at most 8 tokens; got 9"),
        ({"new_tokens": 11}, "'tiny' reads at most 16 tokens; the text has 17"),
    ],
)
def test_what_cannot_be_generated_is_one_clear_error(saved, options, rule):
    folder = saved(llama())
    with pytest.raises(ValueError, match=rule):
        trace_generation(**{"text": TEXT, "model": folder, "new_tokens": 3, **options})


def test_a_model_without_a_head_is_an_error(saved):
    folder = saved(llama("LlamaModel"))
    with pytest.raises(ValueError, match="'tiny' has no weights of a language-model head"):
        trace_generation(TEXT, folder)


def test_the_command_line_saves_what_was_generated(saved, tmp_path, capfd):
    path = tmp_path / "run.safetensors"
    arguments = ["--model", saved(llama()), "--text", TEXT, "--generate", "3", "-o", str(path)]

    assert main(["capture", *arguments]) == 0

    summary, text = capfd.readouterr().out.splitlines()
    assert summary.endswith("1 attention calls, 8 tokens")
    assert text.startswith(TEXT)
    assert Trace.load(path).calls[0].query_len == 8
