"""Attention that a model writes out in many forms: recomputed weights are its own."""

from __future__ import annotations

import gc
import math
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture  # noqa: E402

# Sums of a few float32 products in another order than the model's.
ATOL = 1e-5
B, H, T, D = 2, 3, 5, 7
CAUSAL = torch.ones(T, T, dtype=torch.bool).tril()
PADDED = torch.ones(B, 1, 1, T, dtype=torch.bool)
PADDED[1, :, :, 3:] = False


def matmul(q, k, v):
    weights = ((q @ k.transpose(-2, -1)) / math.sqrt(D)).softmax(-1)
    return weights @ v, weights


def scaled_before(q, k, v):
    weights = torch.softmax(torch.matmul(q * D**-0.5, k.transpose(-1, -2)), dim=-1)
    return torch.matmul(weights, v), weights


def folded_bmm(q, k, v):
    q, k, v = (x.reshape(B * H, T, D) for x in (q, k, v))
    weights = F.softmax(torch.bmm(q, k.transpose(1, 2)) * D**-0.5, dim=2)
    return torch.bmm(weights, v).view(B, H, T, D), weights.view(B, H, T, T)


def folded_baddbmm(q, k, v):
    q, k, v = (x.reshape(B * H, T, D) for x in (q, k, v))
    bias = torch.linspace(-1, 1, T).expand(B * H, T, T)
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), beta=1.0, alpha=0.4)
    weights = scores.view(B, H, T, T).softmax(-1)
    return torch.bmm(weights.view(B * H, T, T), v).view(B, H, T, D), weights


def einsum(q, k, v):
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * D**-0.5
    weights = scores.softmax(dim=-1)
    return torch.einsum("bhij,bhjd->bhid", weights, v), weights


def einsum_tokens_first(q, k, v):
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, T, H, D)
    weights = torch.einsum("bqhd,bkhd->bhqk", q, k).div(math.sqrt(D)).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).transpose(1, 2), weights


def einsum_dots(q, k, v):
    weights = torch.einsum("... i d, ... j d -> ... i j", q, k).softmax(-1)
    return torch.einsum("... i j, ... j d -> ... i d", weights, v), weights


def causal_filled(q, k, v):
    scores = (q @ k.mT / math.sqrt(D)).masked_fill(~CAUSAL, float("-inf"))
    weights = F.softmax(scores, dim=-1, dtype=torch.float32).to(q.dtype)
    return F.dropout(weights, 0.1, training=False) @ v, weights


def padding_added(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)
    scores = scores + torch.where(PADDED, 0.0, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    return weights @ v, weights


def padding_where(q, k, v):
    scores = torch.where(PADDED, q @ k.transpose(-2, -1), torch.tensor(-1e9)) * 0.25
    weights = scores.softmax(-1)
    return weights @ v, weights


def in_place(q, k, v):
    scores = q @ k.transpose(-2, -1)
    scores /= math.sqrt(D)
    scores.masked_fill_(~CAUSAL, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ v, weights


def position_bias(q, k, v):
    bias = (
        -(torch.arange(T)[:, None] - torch.arange(T)).abs()
        * torch.tensor([0.5, 0.1, 2.0])[:, None, None]
    )
    weights = (q @ k.transpose(-2, -1) * D**-0.5 + bias).softmax(-1)
    return weights @ v, weights


def learned_scale(q, k, v):
    tau = torch.tensor([0.5, 1.0, 3.0])[:, None, None]
    weights = ((F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)) * tau).softmax(
        -1
    )
    return weights @ v, weights


def by_exponentials(q, k, v):
    scores = q @ k.transpose(-2, -1) / math.sqrt(D)
    powers = torch.exp(scores - scores.amax(-1, keepdim=True))
    weights = powers / powers.sum(dim=-1, keepdim=True)
    return weights @ v, weights


SPELLINGS = (
    matmul,
    scaled_before,
    folded_bmm,
    folded_baddbmm,
    einsum,
    einsum_tokens_first,
    einsum_dots,
    causal_filled,
    padding_added,
    padding_where,
    in_place,
    position_bias,
    learned_scale,
    by_exponentials,
)


class Written(nn.Module):
    """One layer of attention in one of the forms, between linear layers."""

    def __init__(self, spelling):
        super().__init__()
        torch.manual_seed(3)
        self.inputs, self.outputs = nn.Linear(H * D, 3 * H * D), nn.Linear(H * D, H * D)
        self.spelling = spelling

    def forward(self, x):
        parts = self.inputs(x).chunk(3, -1)
        q, k, v = (part.view(B, T, H, D).transpose(1, 2) for part in parts)
        mixed, self.weights = self.spelling(q, k, v)
        return self.outputs(mixed.transpose(1, 2).reshape(B, T, H * D))


def ran(spelling, **options):
    model = Written(spelling).eval()
    x = torch.randn(B, T, H * D, generator=torch.Generator().manual_seed(5))
    plain = model(x)
    with capture(model, **options) as trace:
        during = model(x)
    assert torch.equal(plain, during)
    return trace, model.weights.detach().reshape(-1, T, T).numpy()


def weights_of(call, **options):
    return np.stack(
        [
            call.weights(head, batch, **options)
            for batch in range(call.batch)
            for head in range(call.heads)
        ]
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_attention_in_any_spelling_gives_its_own_weights(spelling):
    trace, own = ran(spelling)

    (call,) = trace.calls
    assert call.layer == "Written"
    assert call.kind == "self"
    # Recomputed from query and key, not copied from the model's weights.
    assert call.recorded_weights is None
    assert (call.bias is not None) == (spelling in {folded_baddbmm, position_bias})
    np.testing.assert_allclose(weights_of(call), own, rtol=0, atol=ATOL)


def test_what_was_masked_is_known_as_the_mask(subtests):
    for spelling, causal, mask in [
        (matmul, "none", None),
        (causal_filled, "top_left", None),
        (in_place, "top_left", None),
        (padding_added, "none", PADDED),
        (padding_where, "none", PADDED),
    ]:
        with subtests.test(spelling.__name__):
            (call,) = ran(spelling)[0].calls
            assert call.causal == causal
            assert call.bias is None
            if mask is None:
                assert call.mask is None
            else:
                np.testing.assert_array_equal(call.mask, mask.numpy())


def test_the_values_are_those_that_were_mixed():
    (call,) = ran(einsum_tokens_first)[0].calls

    model = Written(einsum_tokens_first)
    x = torch.randn(B, T, H * D, generator=torch.Generator().manual_seed(5))
    value = model.inputs(x).chunk(3, -1)[2].view(B, T, H, D).transpose(1, 2).detach().numpy()
    np.testing.assert_allclose(call.value, value, rtol=0, atol=1e-6)


def test_capped_scores_are_computed_anew(subtests):
    # 0.5 on scores of a few units: weights without the cap are far off.
    def tanh_of_half(q, k, v):
        weights = (torch.tanh(q @ k.transpose(-2, -1) / 0.5) * 0.5).softmax(-1)
        return weights @ v, weights

    def causal_and_in_place(q, k, v):
        scores = q @ k.transpose(-2, -1) * D**-0.5
        scores.div_(-0.5).tanh_().mul_(-0.5)
        weights = scores.masked_fill(~CAUSAL, float("-inf")).softmax(-1)
        return weights @ v, weights

    for spelling, scale in ((tanh_of_half, 1.0), (causal_and_in_place, D**-0.5)):
        with subtests.test(spelling.__name__):
            trace, own = ran(spelling)

            (call,) = trace.calls
            assert call.recorded_weights is None
            assert (call.soft_cap, call.scale) == (0.5, pytest.approx(scale))
            np.testing.assert_allclose(weights_of(call), own, rtol=0, atol=ATOL)


def test_a_bias_below_the_cap_leaves_the_models_own_weights():
    def capped(q, k, v):
        scores = q @ k.transpose(-2, -1) + torch.linspace(-2, 2, T)
        weights = (torch.tanh(scores / 0.5) * 0.5).softmax(-1)
        return weights @ v, weights

    trace, own = ran(capped)

    (call,) = trace.calls
    assert call.recorded_weights is not None
    np.testing.assert_allclose(weights_of(call), own, rtol=0, atol=ATOL)


def test_weights_that_are_mixed_after_the_softmax_are_those_that_count():
    def talking(q, k, v):
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        mixed = weights.roll(1, dims=1)  # each head talks for another
        return mixed @ v, mixed

    trace, own = ran(talking)

    (call,) = trace.calls
    assert call.recorded_weights is not None
    np.testing.assert_allclose(weights_of(call), own, rtol=0, atol=ATOL)


def test_a_softmax_that_two_products_read_is_one_call():
    def twice(q, k, v):
        weights = (q @ k.transpose(-2, -1) / math.sqrt(D)).softmax(-1)
        return weights @ v + weights @ q, weights

    trace, _ = ran(twice)

    assert len(trace.calls) == 1


def test_no_tensor_of_the_model_is_kept_alive():
    kept = []

    def watched(q, k, v):
        scores = q @ k.transpose(-2, -1)
        weights = scores.softmax(-1)
        kept.extend(weakref.ref(tensor) for tensor in (scores, weights))
        return weights @ v, weights

    model = Written(watched)
    with capture(model):
        model(torch.randn(B, T, H * D))
        model.weights = None
        gc.collect()
        assert [reference() for reference in kept] == [None, None]


def test_cross_attention_of_other_lengths():
    class Cross(nn.Module):
        def forward(self, q, k, v):
            self.weights = (q @ k.mT / math.sqrt(D)).softmax(-1)
            return self.weights @ v

    model = Cross()
    q, k, v = (torch.randn(B, H, length, D) for length in (T, 11, 11))
    with capture(model) as trace:
        model(q, k, v)

    (call,) = trace.calls
    assert (call.kind, call.query_len, call.key_len) == ("cross", T, 11)
    own = model.weights.reshape(-1, T, 11).numpy()
    np.testing.assert_allclose(weights_of(call), own, rtol=0, atol=ATOL)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_whose_softmax_is_in_float32_are_recomputed(dtype):
    class Half(nn.Module):
        def forward(self, q, k, v):
            scores = (q @ k.mT / math.sqrt(D)).masked_fill(~CAUSAL, torch.finfo(dtype).min)
            self.weights = scores.softmax(-1, dtype=torch.float32)
            return self.weights.to(dtype) @ v

    model = Half()
    torch.manual_seed(3)
    with capture(model) as trace:
        model(*(torch.randn(B, H, T, D, dtype=dtype) for _ in range(3)))

    (call,) = trace.calls
    assert call.recorded_weights is None
    assert call.causal == "top_left"
    own = model.weights.reshape(-1, T, T).numpy()
    # Scores of size 3 rounded to 8 bits of precision.
    np.testing.assert_allclose(weights_of(call), own, rtol=0, atol=2e-2)


def test_what_cannot_be_read_leaves_the_model_running():
    model = Written(matmul).to("meta")
    with pytest.warns(UserWarning, match="not recorded"), capture(model) as trace:
        made = model(torch.randn(B, T, H * D, device="meta"))

    assert made.shape == (B, T, H * D)
    assert trace.calls == ()


def test_a_classifier_or_a_gate_is_no_attention():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Parameter(torch.randn(H * D, 4))
            self.experts = nn.Parameter(torch.randn(4, H * D))

        def forward(self, x):
            routed = (x @ self.gate).softmax(-1) @ self.experts
            return routed + (x @ self.experts.T).softmax(-1) @ self.gate.T

    model = Gated()
    with pytest.warns(UserWarning, match="no attention"), capture(model) as trace:
        model(torch.randn(B, T, H * D))

    assert trace.calls == ()
