"""Interventions on attention in 16 bits and with numbers that are not finite."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene  # noqa: E402

T = 5
HALVES = (torch.float16, torch.bfloat16)


class Attention(nn.Module):
    """softmax(q·kᵀ + added) · v, written out."""

    def __init__(self, added):
        super().__init__()
        self.added = added

    def forward(self, q, k, v):
        return (q @ k.mT / 2 + self.added).softmax(-1) @ v


class Sdpa(nn.Module):
    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)


def tensors(dtype=torch.float32):
    generator = torch.Generator().manual_seed(4)
    return tuple(torch.randn(1, 2, T, 4, generator=generator).to(dtype) for _ in range(3))


def finite_mask(dtype):
    hidden = torch.ones(T, T, dtype=torch.bool).triu(1)
    return torch.zeros(T, T, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)


@pytest.mark.parametrize("dtype", HALVES)
def test_keys_that_a_finite_number_hides_stay_hidden(dtype):
    model, (q, k, v) = Attention(finite_mask(dtype)), tensors(dtype)

    with intervene(model, weights="uniform"):
        during = model(q, k, v)

    means = v.float().cumsum(2) / torch.arange(1, T + 1)[:, None]
    np.testing.assert_allclose(during.float(), means, rtol=0, atol=0.02)


@pytest.mark.parametrize("dtype", HALVES)
def test_multihead_attention_in_16_bits_is_changed(dtype):
    torch.manual_seed(2)
    model = nn.MultiheadAttention(8, 2, batch_first=True).to(dtype).eval()
    x = torch.randn(1, T, 8).to(dtype)

    with intervene(model, weights="uniform"):
        _, weights = model(x, x, x, attn_mask=finite_mask(dtype))

    counts = torch.arange(1, T + 1)[:, None]
    expected = torch.ones(T, T).tril() / counts
    np.testing.assert_allclose(weights[0].detach().float(), expected, rtol=0, atol=2e-3)


def test_a_softmax_rounded_to_bfloat16_is_a_softmax():
    dtype = torch.bfloat16
    model, inputs = Attention(torch.zeros(T, T, dtype=dtype)), tensors(dtype)

    with intervene(model, temperature=0.5):
        during = model(*inputs)

    q, k, v = (x.float() for x in inputs)
    np.testing.assert_allclose(during.float(), (q @ k.mT).softmax(-1) @ v, rtol=0, atol=0.05)


def test_a_query_that_the_model_shows_no_key_is_no_difference():
    added = torch.zeros(T, T)
    added[2] = -torch.inf
    model, (q, k, v) = Attention(added), tensors()

    with intervene(model, temperature=0.5):
        during = model(q, k, v)

    expected, seen = (q @ k.mT).softmax(-1) @ v, [0, 1, 3, 4]
    assert not during[:, :, 2].any()
    np.testing.assert_allclose(during[:, :, seen], expected[:, :, seen], atol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_capture_of_a_sharp_head_keeps_its_query_in_32_bits(dtype):
    q, k, v = tensors(dtype)
    model = Sdpa()

    with intervene(model, temperature=3e-5), capture(model) as trace:
        model(4 * q, k, v)

    (call,) = trace.calls
    expected = (4 * q.float() / 3e-5 @ k.float().mT / 2).softmax(-1)
    assert call.live
    np.testing.assert_allclose(call.weights(1), expected[0, 1], rtol=0, atol=1e-3)


def test_a_head_knocked_out_gives_zero_of_infinite_values_too():
    model, (q, k, v) = Sdpa(), tensors()
    v[0, 1, 3] = torch.inf

    with intervene(model, head=1, scale=0):
        during = model(q, k, v)

    assert not during[:, 1].any()
