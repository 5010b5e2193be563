"""What users of BertViz, CircuitsVis, TransformerLens, transformers and PyTorch have asked for.

Each test rebuilds one public report; the link is in its docstring.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import attnpanel as ap

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

IDS = torch.tensor([[4, 7, 3, 9, 11]])
WORDS, OTHERS = list("abcde"), list("VWXYZ")
SMALL = {"vocab_size": 50, "eos_token_id": 2, "pad_token_id": 0}
EAGER = {"attn_implementation": "eager"}


def made(build, config):
    torch.manual_seed(0)
    return build(config).eval()


@pytest.fixture(scope="module")
def t5():
    config = transformers.T5Config(
        d_model=16, d_kv=4, d_ff=16, num_layers=2, num_heads=4, decoder_start_token_id=0,
        vocab_size=50, **EAGER,
    )  # fmt: skip
    return made(transformers.T5ForConditionalGeneration, config)


@pytest.fixture(scope="module")
def bart():
    sizes = {
        f"{side}_{name}": 4 for side in ("encoder", "decoder") for name in ("attention_heads",)
    }
    config = transformers.BartConfig(
        d_model=16, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_position_embeddings=32, **sizes, **SMALL, **EAGER,
    )  # fmt: skip
    return made(transformers.BartForConditionalGeneration, config)


def llama(implementation):
    config = transformers.LlamaConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=16, attn_implementation=implementation, **SMALL,
    )  # fmt: skip
    return made(transformers.LlamaForCausalLM, config)


def encoder(**options):
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 4, 16, batch_first=True, **options)
    return torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


def generated(model, **options):
    settings = {"output_attentions": True, "return_dict_in_generate": True, "max_new_tokens": 5}
    return model.generate(IDS, do_sample=False, **(settings | options))


def close(left, right):
    # float32, summed in another order.
    np.testing.assert_allclose(left, right.detach().numpy(), atol=1e-6)


# BertViz


def test_t5_with_generate(t5):
    """https://github.com/jessevig/bertviz/issues/133"""
    output = generated(t5)
    read = output.sequences[:, :-1]
    whole = t5(IDS, decoder_input_ids=read, output_attentions=True)

    trace = ap.Trace.from_weights(output, [str(i) for i in read[0].tolist()], key_tokens=WORDS)

    close(trace["decoder.layer.1"].weights(), whole.decoder_attentions[1])
    close(trace["decoder.layer.1.cross"].weights(), whole.cross_attentions[1])
    close(trace["encoder.layer.1"].weights(), whole.encoder_attentions[1])


def test_input_and_output_of_different_lengths(t5):
    """https://github.com/jessevig/bertviz/issues/116"""
    output = t5(IDS, decoder_input_ids=IDS[:, :3], output_attentions=True)

    trace = ap.Trace.from_weights(output, list("xyz"), key_tokens=WORDS)

    labels = [tuple(map(len, trace.tokens_of(call))) for call in trace]
    assert sorted(set(labels)) == [(3, 3), (3, 5), (5, 5)]


def test_the_cross_attention_of_bart(bart, tmp_path):
    """https://github.com/jessevig/bertviz/issues/67"""
    output = bart(IDS, decoder_input_ids=IDS + 1, output_attentions=True)

    trace = ap.Trace.from_weights(output.cross_attentions, OTHERS, key_tokens=WORDS)

    assert [call.kind for call in trace] == ["cross"] * 2
    assert trace.tokens_of(trace[0]) == (tuple(OTHERS), tuple(WORDS))
    assert ap.save_report(trace, tmp_path / "cross.html").exists()


def test_between_encoder_and_decoder_of_one_length(bart):
    """https://github.com/jessevig/bertviz/issues/36"""
    output = bart(IDS, decoder_input_ids=IDS + 1, output_attentions=True)

    trace = ap.Trace.from_weights(output, OTHERS, key_tokens=WORDS)

    firsts = {call.layer.rpartition("layer.")[0]: trace.tokens_of(call) for call in trace}
    assert [row[0] for row in firsts["encoder."]] == ["a", "a"]
    assert [row[0] for row in trace.tokens_of(trace["decoder.layer.0"])] == ["V", "V"]
    assert [row[0] for row in trace.tokens_of(trace["decoder.layer.0.cross"])] == ["V", "a"]


def test_which_input_word_a_translation_attended(bart):
    """https://github.com/jessevig/bertviz/issues/72"""
    with torch.inference_mode(), ap.capture(bart) as trace:
        output = bart(IDS, decoder_input_ids=IDS + 1, output_attentions=True)

    cross = [call for call in trace if call.kind == "cross"]
    for call, weights in zip(cross, output.cross_attentions, strict=True):
        close(call.weights(), weights)


def test_a_tied_encoder_decoder_has_both_passes_of_its_layers():
    """https://github.com/jessevig/bertviz/issues/126"""
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=16, **EAGER,
    )  # fmt: skip
    shared = made(transformers.BertModel, config)
    model = torch.nn.ModuleDict({"both": shared})
    with torch.inference_mode(), ap.capture(model) as trace:
        first, second = (shared(ids, output_attentions=True) for ids in (IDS, IDS[:, :3]))

    name = "both.encoder.layer.0.attention.self"
    close(trace[name, 0].weights(), first.attentions[0])
    close(trace[name, -1].weights(), second.attentions[0])


@pytest.mark.thorough
@pytest.mark.slow
def test_an_input_of_several_paragraphs_is_one_small_file(tmp_path):
    """https://github.com/jessevig/bertviz/issues/74"""
    query, key = np.random.default_rng(0).standard_normal((2, 1, 4, 1024, 8)).astype(np.float32)

    path = ap.save_report(ap.Trace.from_qkv(query, key), tmp_path / "long.html")

    # As numbers in JSON the weights alone would take 4 * 1024 ** 2 * 8 bytes.
    assert path.stat().st_size < 4_000_000


# CircuitsVis


def test_one_layer_of_a_cache_with_names_of_its_tokens():
    """https://github.com/TransformerLensOrg/CircuitsVis/issues/62"""
    pattern = torch.rand(12, 5, 5).softmax(-1)  # gpt2_cache["pattern", 0, "attn"]

    explorer = ap.Explorer(ap.Trace.from_weights(pattern, WORDS), head=3)
    close(explorer.state.selection.weights, pattern[3])
    explorer.state.aggregate = True  # and back to the mean, from any head

    close(explorer.state.selection.weights, pattern.mean(0))


def test_rows_are_the_tokens_that_look():
    """https://github.com/TransformerLensOrg/CircuitsVis/issues/56"""
    pattern = torch.zeros(1, 3, 3)
    pattern[0, 2, 1] = 1  # destination 2, source 1

    trace = ap.import_trace(pattern, ["the", "dog", "barks"], format="circuitsvis")

    queries, keys = trace.tokens_of(trace[0])
    i, j = np.argwhere(trace[0].weights(0) == 1)[0]
    assert (queries[i], keys[j]) == ("barks", "dog")


def test_a_tokens_own_row_can_be_followed():
    """https://github.com/TransformerLensOrg/CircuitsVis/issues/98"""
    explorer = ap.Explorer(ap.Trace.from_weights(torch.rand(2, 5, 5).softmax(-1), WORDS))

    explorer.state.query_index = 3

    assert explorer.state.selection.weights[3].sum() == pytest.approx(1, abs=1e-6)


# TransformerLens


def test_scores_below_the_masks_fill_do_not_show_what_is_hidden():
    """https://github.com/TransformerLensOrg/TransformerLens/issues/385"""
    query = torch.full((1, 1, 3, 1), -110208.0)

    call = ap.Trace.from_qkv(query, torch.ones(1, 1, 3, 1), causal="top_left", scale=1)[0]

    np.testing.assert_allclose(call.weights(0), np.tri(3) / np.arange(1, 4)[:, None], rtol=1e-6)


def test_a_padded_batch_attends_to_no_padding():
    """https://github.com/TransformerLensOrg/TransformerLens/pull/386"""
    model = llama("sdpa")
    mask = torch.tensor([[0, 0, 1, 1, 1]])
    with torch.inference_mode(), ap.capture(model) as padded:
        model(IDS, attention_mask=mask, position_ids=torch.tensor([[0, 0, 0, 1, 2]]))
    with torch.inference_mode(), ap.capture(model) as alone:
        model(IDS[:, 2:])

    weights = padded[-1].weights()[:, :, 2:]
    np.testing.assert_allclose(weights[..., 2:], alone[-1].weights(), atol=1e-6)
    assert not weights[..., :2].any()


# transformers


def test_llama_with_sdpa_is_captured_and_equals_eager():
    """https://github.com/huggingface/transformers/issues/31990"""
    model, eager = llama("sdpa"), llama("eager")
    with torch.inference_mode(), ap.capture(model) as trace:
        model.generate(IDS, max_new_tokens=5, do_sample=False)
    wanted = ap.Trace.from_weights(generated(eager))

    for call, other in zip(trace, wanted, strict=True):
        np.testing.assert_allclose(call.weights(), other.weights(), atol=1e-6)


def test_an_unmasked_input_under_sdpa_is_causal_all_the_same():
    """https://github.com/huggingface/transformers/pull/30652"""
    model = llama("sdpa")
    with torch.inference_mode(), ap.capture(model) as trace:
        model(IDS)

    assert not np.triu(trace[0].weights()[0], 1).any()


def test_steps_of_cross_attention_have_one_row_each(bart):
    """https://github.com/huggingface/transformers/issues/11788"""
    output = generated(bart, num_beams=3, num_return_sequences=2)

    trace = ap.Trace.from_weights(output)

    call = trace["decoder.layer.0.cross"]
    assert (call.batch, call.query_len, call.key_len) == (2, len(output.cross_attentions), 5)
    sums = call.weights().sum(-1)
    np.testing.assert_allclose(sums[~np.isnan(sums)], 1, atol=1e-6)


def test_generated_attentions_are_a_tuple_of_tuples():
    """https://github.com/shikiw/OPERA/issues/40"""
    output = generated(llama("eager"))
    assert not hasattr(output.attentions[0], "clone")

    trace = ap.Trace.from_weights(output.attentions)

    assert [call.query_len for call in trace] == [9, 9]
    assert ap.Trace.from_weights(output.attentions[-1])[0].query_len == 1


# PyTorch


def test_a_transformer_encoder_gives_its_attention_map():
    """https://github.com/pytorch/pytorch/issues/99304"""
    model, x = encoder(), torch.rand(2, 5, 16)
    with torch.inference_mode(), ap.capture(model) as trace:
        model(x)

    attention = model.layers[0].self_attn
    with torch.inference_mode():
        _, wanted = attention(x, x, x, need_weights=True, average_attn_weights=False)
    close(trace["layers.0"].weights(), wanted)


def test_rollout_of_a_transformer_encoder():
    """https://github.com/pytorch/pytorch/issues/88810"""
    from attnpanel.analysis import rollout

    model = encoder(norm_first=True)
    with torch.inference_mode(), ap.capture(model) as trace:
        model(torch.rand(1, 5, 16))

    rolled = np.eye(5)
    for call in trace:
        rolled = (call.weights(batch=0).mean(0) + np.eye(5)) / 2 @ rolled
    np.testing.assert_allclose(rollout(trace), rolled, atol=1e-6)


def test_nn_transformer_gives_all_three_kinds():
    """https://github.com/pytorch/pytorch/issues/64509"""
    torch.manual_seed(0)
    model = torch.nn.Transformer(16, 4, 1, 1, 16, batch_first=True).eval()
    with torch.inference_mode(), ap.capture(model) as trace:
        model(torch.rand(1, 5, 16), torch.rand(1, 3, 16))

    shapes = [call.weights().shape for call in trace]
    assert shapes == [(1, 4, 5, 5), (1, 4, 3, 3), (1, 4, 3, 5)]


@pytest.mark.parametrize("causal", [False, True])
def test_scaled_dot_product_attention_shows_its_weights(causal):
    """https://github.com/pytorch/pytorch/issues/119811"""
    query, key = torch.rand(2, 1, 4, 5, 8)
    value = torch.eye(5).expand(1, 4, 5, 5)  # so that the output is the weights
    model = torch.nn.Identity()
    model.forward = lambda: torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=causal
    )
    with ap.capture(model) as trace:
        output = model()

    close(trace[0].weights(), output)


def test_a_single_query_against_a_cache_needs_no_identity_as_values():
    """https://github.com/pytorch/pytorch/issues/143993"""
    query, key = torch.rand(1, 4, 1, 8), torch.rand(1, 2, 300, 8)

    call = ap.Trace.from_qkv(query, key)[0]

    wanted = (query @ key.repeat_interleave(2, 1).mT * 8**-0.5).softmax(-1)
    close(call.weights(), wanted)
    assert call.q_offset == 299


def test_every_layer_of_an_encoder_whose_layers_are_called_by_hand():
    """https://github.com/facebookresearch/detr/issues/492"""
    attention = torch.nn.MultiheadAttention(16, 4).eval()  # (T, B, D), as DETR has it
    x, pos = torch.rand(2, 5, 1, 16)
    model = SimpleNamespace(attention=attention)
    with torch.inference_mode(), ap.capture(model) as trace:
        attention(x + pos, x + pos, value=x)

    with torch.inference_mode():
        _, wanted = attention(x + pos, x + pos, value=x, average_attn_weights=False)
    close(trace[0].weights(), wanted)
