"""Attention computed by PyTorch: recomputed weights are torch's own, or calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.nn.attention.bias import causal_lower_right  # noqa: E402

from attnpanel import capture  # noqa: E402

# Sums of 12 float32 products in another order than the model's.
ATOL = 1e-5


def recomputed(call):
    return np.stack(
        [[call.weights(h, b) for h in range(call.heads)] for b in range(call.batch)]
    )  # (B, H, T, S)


def assert_weights(call, expected, rows=None):
    """Every head's weights; `rows` (B, T) excludes rows that the model does not define."""
    ours, expected = recomputed(call), expected.detach().numpy()
    if rows is not None:
        ours, expected = (x.swapaxes(1, 2)[rows.numpy().astype(bool)] for x in (ours, expected))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=ATOL)


# torch.nn.MultiheadAttention and what is built on it


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


# F.scaled_dot_product_attention in any module


class Plain(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.inner = Inner(options)

    def forward(self, query, key, value):
        return self.inner(query, key, value)


class Inner(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.options = options

    def forward(self, query, key, value):
        return F.scaled_dot_product_attention(query, key, value, **self.options)


def softmax_by_hand(query, key, scale=None, bias=0.0, hidden=None):
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    scores = scores + bias
    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    return scores.softmax(-1)


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


def test_numbers_are_copied_before_the_model_changes_them():
    class InPlace(nn.Module):
        def forward(self, x):
            out = F.scaled_dot_product_attention(x, x, x)
            x.zero_()
            return out

    x = torch.randn(1, 1, 5, 11)
    kept = x.numpy().copy()
    model = InPlace()
    with capture(model) as trace:
        model(x)

    np.testing.assert_array_equal(trace.calls[0].query, kept)


def test_a_mask_changed_in_place_is_read_again():
    class Changing(nn.Module):
        def forward(self, x):
            seen = torch.ones(5, 5, dtype=torch.bool)
            for hidden in (1, 3):
                seen[:, hidden] = False
                F.scaled_dot_product_attention(x, x, x, attn_mask=seen)

    model = Changing()
    with capture(model) as trace:
        model(torch.randn(1, 1, 5, 11))

    assert [call.mask.sum() for call in trace.calls] == [4, 3]


# Vision transformers, as timm writes their attention


class Vision(nn.Module):
    """timm 1.0's ``layers.Attention``, with its fused path and the one written out."""

    def __init__(self, *, fused):
        super().__init__()
        self.fused = fused
        self.qkv, self.proj = nn.Linear(12, 36), nn.Linear(12, 12)
        self.q_norm, self.k_norm = nn.LayerNorm(4), nn.LayerNorm(4)
        self.dropped = nn.Dropout(0.1)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, 3, 4).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=0.0)
        else:
            weights = self.dropped((q * 4**-0.5 @ k.transpose(-2, -1)).softmax(dim=-1))
            mixed = weights @ v
        self.own = (q @ k.mT / 2).softmax(-1)
        return self.proj(mixed.transpose(1, 2).reshape(batch, length, width))


@pytest.mark.parametrize("fused", [True, False])
def test_a_vision_transformers_block_gives_its_own_weights(fused):
    model = Vision(fused=fused).eval()
    x = torch.randn(2, 5, 12)
    plain = model(x)
    with capture(model) as trace:
        during = model(x)

    assert torch.equal(plain, during)
    (call,) = trace.calls
    assert (call.live, call.kind, call.batch, call.heads) == (True, "self", 2, 3)
    assert_weights(call, model.own)


# How a model is run


def encoder():
    torch.manual_seed(29)
    layer = nn.TransformerEncoderLayer(12, 4, 20, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def test_a_decoder_of_two_layers_is_captured_layer_by_layer():
    torch.manual_seed(13)
    layer = nn.TransformerDecoderLayer(12, 4, 20, batch_first=True)
    model = nn.TransformerDecoder(layer, 2).eval()
    target, memory = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    hidden = torch.arange(7).expand(2, 7) >= torch.tensor([[7], [4]])
    run = {"memory_key_padding_mask": hidden}
    with torch.inference_mode():
        plain = model(target, memory, **run)
        with capture(model) as trace:
            during = model(target, memory, **run)

    assert torch.equal(plain, during)
    assert trace.layers == tuple(
        f"layers.{i}.{name}" for i in (0, 1) for name in ("self_attn", "multihead_attn")
    )
    first = model.layers[0]
    _, own = first.self_attn(target, target, target, average_attn_weights=False)
    assert_weights(trace.calls[0], own)
    assert trace.calls[1].mask[1, 0, 0].tolist() == [True] * 4 + [False] * 3


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_computes_again_for_its_gradients_is_no_second_call(reentrant):
    from torch.utils.checkpoint import checkpoint

    model = encoder()
    x = torch.randn(2, 5, 12, requires_grad=True)

    def gradient():
        model.zero_grad()
        hidden = x
        for layer in model.layers:
            hidden = checkpoint(layer, hidden, use_reentrant=reentrant)
        hidden.sum().backward()
        return model.layers[0].self_attn.in_proj_weight.grad.clone()

    plain = gradient()
    with capture(model) as trace:
        during = gradient()

    assert torch.equal(plain, during)
    assert trace.layers == ("layers.0.self_attn", "layers.1.self_attn")


def test_autocast_is_recorded_in_the_precision_that_it_computes_in():
    torch.manual_seed(31)
    model = nn.MultiheadAttention(12, 4, batch_first=True).eval()
    x = torch.randn(2, 5, 12)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, own = model(x, x, x, average_attn_weights=False)
        with capture(model) as trace:
            during, _ = model(x, x, x, need_weights=False)
        again, _ = model(x, x, x, need_weights=False)

    assert during.dtype == torch.bfloat16
    assert torch.equal(during, again)
    (call,) = trace.calls
    # Stored without loss; the scores of size 1 that torch rounds to 8 bits of precision are not.
    query = torch.from_numpy(np.array(call.query))
    assert torch.equal(query, query.bfloat16().float())
    np.testing.assert_allclose(recomputed(call), own.float().numpy(), rtol=0, atol=1e-2)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_makes_no_difference_how_gradients_are_kept(context):
    model, x = Plain(), torch.randn(2, 3, 5, 11)
    with context(), capture(model) as trace:
        during = model(x, x, x)

    assert torch.equal(during, model(x, x, x))
    assert_weights(trace.calls[0], softmax_by_hand(x, x))


# Nested tensors: sequences of different lengths without padding


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_sequences_of_different_lengths_are_padded_and_masked():
    torch.manual_seed(37)
    parts = [torch.randn(length, 3, 4) for length in (5, 2)]
    nested = torch.nested.nested_tensor(parts, layout=torch.jagged).transpose(1, 2)  # (B, H, T, D)
    model = Plain()
    with torch.no_grad():
        plain = model(nested, nested, nested)
        with capture(model) as trace:
            during = model(nested, nested, nested)

    for before, captured in zip(plain.unbind(), during.unbind(), strict=True):
        assert torch.equal(before, captured)
    (call,) = trace.calls
    assert (call.batch, call.query_len) == (2, 5)
    for b, part in enumerate(parts):
        x = part.transpose(0, 1)
        own = softmax_by_hand(x, x)
        length = len(part)
        ours = recomputed(call)[b][:, :length]
        np.testing.assert_allclose(ours[..., :length], own.numpy(), rtol=0, atol=ATOL)
        np.testing.assert_array_equal(ours[..., length:], 0)


def test_autocast_casts_what_is_recorded_as_it_casts_what_the_kernel_gets():
    torch.manual_seed(31)
    model, x, bias = Plain(), torch.randn(2, 3, 5, 11), torch.randn(5, 5)
    model.inner.options["attn_mask"] = bias
    with torch.autocast("cpu", torch.bfloat16), capture(model) as trace:
        assert model(x, x, x).dtype == torch.bfloat16

    x, bias = x.bfloat16().float(), bias.bfloat16().float()
    own = (x @ x.mT / 11**0.5 + bias).softmax(-1).numpy()
    np.testing.assert_allclose(recomputed(trace.calls[0]), own, rtol=0, atol=1e-5)
