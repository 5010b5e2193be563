"""Prompts with changed attention, and batches of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from attnpanel import Trace, trace_prompt  # noqa: E402
from attnpanel.models import prompts  # noqa: E402
from attnpanel.models.loading import load_model  # noqa: E402
from attnpanel.models.prompts import change_prompt  # noqa: E402
from tests.tiny_prompt_models import SIZES, TEXT, save_model  # noqa: E402

# With changed attention


def test_a_changed_encoder_reports_how_far_its_states_moved(folder):
    plain = trace_prompt(TEXT, str(folder))

    change = change_prompt(TEXT, str(folder), layer=0, head=1, weights="uniform")

    np.testing.assert_array_equal(change.before.calls[0].query, plain.calls[0].query)
    rows = np.tril(np.ones((len(plain.query_tokens[0]),) * 2))
    uniform = rows / rows.sum(-1, keepdims=True)
    np.testing.assert_allclose(change.after.calls[0].weights(1), uniform, atol=1e-6)
    np.testing.assert_allclose(
        change.after.calls[0].weights(0), plain.calls[0].weights(0), atol=1e-6
    )
    assert change.output.kind == "embedding"
    assert change.output.moved.shape == (len(rows),)
    assert change.output.moved[0] < 1e-13  # the first token sees only itself
    assert change.output.moved.max() > 1e-11


def test_a_changed_language_model_reports_its_next_tokens(folder):
    torch.manual_seed(3)
    whole = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()
    torch.nn.init.normal_(whole.lm_head.weight)
    whole.save_pretrained(folder)
    plain = trace_prompt(TEXT, str(folder))

    change = change_prompt(TEXT, str(folder), layer="layers.0.*", scale=0)

    assert change.before.layers == plain.layers == ("layers.0.self_attn",)
    output = change.output
    assert output.kind == "prediction"
    # Without attention's output a layer is its feed-forward part.
    layer, ids = whole.model.layers[0], load_model(str(folder)).tokenizer(TEXT)["input_ids"]
    with torch.no_grad():
        x = whole.model.embed_tokens(torch.tensor(ids))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
        expected = whole.lm_head(whole.model.norm(x)).softmax(-1).numpy()
    for row, candidates in zip(expected, output.candidates, strict=True):
        ours = sorted(candidate.after for candidate in candidates)
        assert set(np.round(ours, 5)) <= set(np.round(row.astype(float), 5))
    assert output.whole > 1e-4


def test_a_change_that_does_not_fit_the_model_is_one_sentence(folder):
    with pytest.raises(ValueError, match=r"layer must be in 0\.\.0; got 3"):
        change_prompt(TEXT, str(folder), layer=3, scale=0)
    with pytest.raises(ValueError, match=r"head must be in 0\.\.1 in layer 'layers.0.self_attn'"):
        change_prompt(TEXT, str(folder), layer=0, head=2, scale=0)


@pytest.mark.parametrize("change", [{"hide_keys": 99}, {"hide_edges": [(0, 99)]}])
def test_a_token_that_the_prompt_lacks_cannot_be_hidden(folder, change):
    with pytest.raises(ValueError, match=r"key must be one of the prompt's \d+ tokens, 0 to \d+"):
        change_prompt(TEXT, str(folder), **change)


def test_the_name_of_a_numbered_layer_is_no_pattern(folder, monkeypatch):
    asked, intervene = [], prompts.intervene

    def run(prompt, **options):
        trace, outputs = real_run(prompt, **options)
        calls = [replace(call, layer="blocks[0].*") for call in trace.calls]
        return Trace(calls, query_tokens=trace.query_tokens), outputs

    def note(model, **change):
        asked.append(change["layer"])
        return intervene(model, **change | {"layer": "*"})

    real_run = prompts.run_prompt
    monkeypatch.setattr(prompts, "run_prompt", run)
    monkeypatch.setattr(prompts, "intervene", note)

    change_prompt(TEXT, str(folder), layer=0, scale=0)

    assert asked == ["blocks[[]0].[*]"]


@pytest.mark.parametrize("family", ["llama", "bert", "t5"])
def test_several_texts_are_a_batch_in_which_each_attends_as_alone(folder, family):
    save_model(folder, family)
    path, texts = str(folder), [TEXT[:11], TEXT, "mat"]

    together = trace_prompt(texts, path)

    assert [len(row) for row in together.query_tokens] == [together[0].query_len] * 3
    for batch, text in enumerate(texts):
        alone = trace_prompt(text, path)
        tokens = alone.query_tokens[0]
        assert together.query_tokens[batch][: len(tokens)] == tokens
        for call, own in zip(together, alone, strict=True):
            weights = call.weights(batch=batch)[:, : own.query_len]
            # float32, in products of other shapes.
            np.testing.assert_allclose(weights[..., : own.key_len], own.weights()[0], atol=1e-6)
            np.testing.assert_array_equal(weights[..., own.key_len :], 0)


@pytest.mark.parametrize(("texts", "message"), [([], "got none"), (["a", " "], "white space")])
def test_a_batch_without_text_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        trace_prompt(texts)


def test_the_longest_text_of_a_batch_counts(folder):
    with pytest.raises(ValueError, match="text must have at most 4 tokens; got"):
        trace_prompt(["cat", TEXT], str(folder), max_tokens=4)
