"""PyTorch's attention inside blocks, checkpoints and autocast."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture  # noqa: E402
from tests.unit.models.intercept.recomputed_weights import (  # noqa: E402
    ATOL,
    assert_weights,
    recomputed,
    softmax_by_hand,
)
from tests.unit.models.sdpa_model import Plain  # noqa: E402


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
