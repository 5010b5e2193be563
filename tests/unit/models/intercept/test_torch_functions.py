"""Attention computed by PyTorch: recomputed weights are torch's own, or calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn.attention.bias import causal_lower_right  # noqa: E402

from attnpanel import capture  # noqa: E402
from tests.unit.models.intercept.recomputed_weights import (  # noqa: E402
    ATOL,
    assert_weights,
    softmax_by_hand,
)
from tests.unit.models.sdpa_model import Plain  # noqa: E402


def multi_head_cases():
    key_padding = torch.zeros(2, 7, dtype=torch.bool)
    key_padding[1, 4:] = True
    torch.manual_seed(2)
    band = torch.ones(5, 7, dtype=torch.bool).triu(4)
    yield "plain", {}
    yield "key_padding", {"key_padding_mask": key_padding}
    yield "bool mask", {"attn_mask": band}
    yield "float mask", {"attn_mask": torch.randn(5, 7)}
    yield "mask per head", {"attn_mask": torch.randn(2 * 4, 5, 7)}
    yield "both", {"attn_mask": band, "key_padding_mask": key_padding}


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("name", "masks"), list(multi_head_cases()))
def test_multihead_attention_gives_its_own_weights(name, masks, batch_first, need_weights):
    torch.manual_seed(11)
    model = nn.MultiheadAttention(12, 4, batch_first=batch_first).eval()
    query, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    if not batch_first:
        query, memory = query.transpose(0, 1), memory.transpose(0, 1)
    _, own = model(query, memory, memory, average_attn_weights=False, **masks)
    plain, _ = model(query, memory, memory, need_weights=need_weights, **masks)

    with capture(model) as trace:
        during, _ = model(query, memory, memory, need_weights=need_weights, **masks)

    (call,) = trace.calls
    assert torch.equal(plain, during)
    assert (call.layer, call.kind) == ("MultiheadAttention", "cross")
    np.testing.assert_allclose(call.scale, 3**-0.5, rtol=1e-6)
    assert_weights(call, own)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("extra", ["add_bias_kv", "add_zero_attn"])
def test_keys_that_multihead_attention_adds_are_recorded(extra, need_weights):
    torch.manual_seed(11)
    model = nn.MultiheadAttention(12, 4, batch_first=True, **{extra: True}).eval()
    x = torch.randn(2, 5, 12)
    _, own = model(x, x, x, average_attn_weights=False)

    with capture(model) as trace:
        model(x, x, x, need_weights=need_weights)

    assert trace.calls[0].key_len == 6
    assert_weights(trace.calls[0], own)


def test_multihead_attention_without_a_batch_is_a_batch_of_one():
    model = nn.MultiheadAttention(12, 4).eval()
    x = torch.randn(5, 12)
    _, own = model(x, x, x, average_attn_weights=False)

    with capture(model) as trace:
        model(x, x, x)

    assert trace.calls[0].kind == "self"
    assert_weights(trace.calls[0], own[None])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_keeps_its_fused_path_to_the_last_bit(norm_first, grad):
    torch.manual_seed(13)
    layer = nn.TransformerEncoderLayer(12, 4, 20, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval()
    x, padded = torch.randn(2, 7, 12), torch.arange(7).expand(2, 7) >= torch.tensor([[7], [5]])
    with torch.set_grad_enabled(grad):
        plain = model(x, src_key_padding_mask=padded)
        with capture(model) as trace:
            during = model(x, src_key_padding_mask=padded)

    assert torch.equal(plain, during)
    assert trace.layers == ("layers.0.self_attn", "layers.1.self_attn")
    first = model.layers[0]
    normed = first.norm1(x) if norm_first else x
    _, own = first.self_attn(
        normed, normed, normed, key_padding_mask=padded, average_attn_weights=False
    )
    assert_weights(trace.calls[0], own)


def test_a_multihead_attention_alone_keeps_its_fused_path_to_the_last_bit():
    torch.manual_seed(13)
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 7, 12)
    with torch.inference_mode():
        plain, own = model(x, x, x, average_attn_weights=False)
        with capture(model) as trace:
            during, _ = model(x, x, x, average_attn_weights=False)

    assert torch.equal(plain, during)
    assert_weights(trace.calls[0], own)


def test_a_decoder_layer_has_a_self_and_a_cross_call():
    torch.manual_seed(13)
    model = nn.TransformerDecoderLayer(12, 4, 20, batch_first=True).eval()
    target, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    causal = nn.Transformer.generate_square_subsequent_mask(5)

    with capture(model) as trace:
        model(target, memory, tgt_mask=causal, tgt_is_causal=True)

    assert [(c.layer, c.kind, c.causal) for c in trace.calls] == [
        ("self_attn", "self", "top_left"),
        ("multihead_attn", "cross", "none"),
    ]
    assert trace.calls[0].mask is None


def sdpa_cases():
    torch.manual_seed(17)
    seen = torch.rand(5, 7) < 0.7
    seen[:, 0] = True
    bias = torch.randn(2, 1, 5, 7)
    later = ~torch.ones(5, 7, dtype=torch.bool).tril()
    yield "plain", {}, {}
    yield "scale", {"scale": 0.3}, {"scale": 0.3}
    yield "causal", {"is_causal": True}, {"hidden": later}
    yield "bool mask", {"attn_mask": seen}, {"hidden": ~seen}
    yield "float mask", {"attn_mask": bias}, {"bias": bias}
    yield (
        "half hidden",
        {"attn_mask": bias.masked_fill(~seen, -torch.inf)},
        {"bias": bias, "hidden": ~seen},
    )
    # The last query is aligned with the last key: queries 0..4 are positions 2..6.
    after = ~torch.ones(5, 7, dtype=torch.bool).tril(2)
    yield "last aligned", {"attn_mask": causal_lower_right(5, 7)}, {"hidden": after}


@pytest.mark.parametrize(("name", "options", "by_hand"), list(sdpa_cases()))
def test_unmasked_sdpa_matches_the_calculated_softmax(name, options, by_hand):
    torch.manual_seed(19)
    query, key = torch.randn(2, 3, 5, 11), torch.randn(2, 3, 7, 11)
    value = torch.randn(2, 3, 7, 13)
    model = Plain(**options)
    plain = model(query, key, value)

    with capture(model) as trace:
        during = model(query, key, value)

    (call,) = trace.calls
    assert torch.equal(plain, during)
    assert call.layer == "inner"
    assert_weights(call, softmax_by_hand(query, key, **by_hand))
    np.testing.assert_allclose(
        call.attention(head=2, batch=1).output, plain[1, 2].numpy(), rtol=0, atol=ATOL
    )


def test_causal_masks_become_flags():
    triangle = torch.ones(5, 5, dtype=torch.bool).tril()
    x = torch.randn(2, 3, 5, 11)
    model = Plain(attn_mask=triangle)

    with capture(model) as trace:
        model(x, x, x)

    assert (trace.calls[0].causal, trace.calls[0].mask) == ("top_left", None)


def test_grouped_sdpa_keeps_two_key_heads_for_six():
    query, key = torch.randn(2, 6, 5, 11), torch.randn(2, 2, 7, 11)
    model = Plain(enable_gqa=True)

    with capture(model) as trace:
        model(query, key, key)

    (call,) = trace.calls
    assert (call.heads, call.kv_heads) == (6, 2)
    assert_weights(call, softmax_by_hand(query, key.repeat_interleave(3, dim=1)))


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((5, 11), (1, 1, 5, 11)),
        ((2, 5, 11), (2, 1, 5, 11)),
        ((2, 3, 2, 5, 11), (6, 2, 5, 11)),
    ],
)
def test_other_numbers_of_axes_become_batch_and_heads(shape, stored):
    x = torch.randn(shape)
    seen = torch.rand(*shape[:-1], 5) < 0.7
    seen[..., 0] = True
    model = Plain(attn_mask=seen)

    with capture(model) as trace:
        model(x, x, x)

    (call,) = trace.calls
    assert call.query.shape == stored
    expected = softmax_by_hand(x, x, hidden=~seen)
    assert_weights(call, expected.reshape(*stored[:3], 5))


def test_a_row_that_finite_numbers_hide_is_uniform_as_in_the_model():
    mask = torch.zeros(5, 7)
    mask[1] = torch.finfo(torch.float32).min
    mask[2, 3:] = torch.finfo(torch.float32).min
    mask[3] = -torch.inf
    query, key = torch.randn(1, 1, 5, 11), torch.randn(1, 1, 7, 11)
    model = Plain(attn_mask=mask)

    with capture(model) as trace:
        model(query, key, torch.randn(1, 1, 7, 13))

    weights = trace.calls[0].weights(0)
    np.testing.assert_allclose(weights[1], np.full(7, 1 / 7), rtol=1e-6)
    np.testing.assert_array_equal(weights[2, 3:], 0)
    np.testing.assert_array_equal(weights[3], 0)
