"""Interventions, on every route, against a forward pass written out from the formula."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, intervene  # noqa: E402
from tests.unit.models.intervene.attention_routes import (  # noqa: E402
    ROUTES,
    Attention,
    B,
    H,
    S,
    T,
    assert_close,
    by_formula,
    einsum,
    exponentials,
    folded,
    matmul,
    sdpa,
    tensors,
)
from tests.unit.models.intervene.intervention_cases import CHANGES, attended  # noqa: E402


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_chosen_heads_are_the_formulas_and_the_others_the_models_own(route, change):
    model, inputs = Attention(route), tensors()
    plain = model(*inputs)

    with intervene(model, head=[0, 2], **CHANGES[change][0](T, S)):
        during = model(*inputs)
    after = model(*inputs)

    assert_close(during, by_formula(route, change, (0, 2), *inputs))
    assert torch.equal(during[:, 1], plain[:, 1])
    assert torch.equal(after, plain)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_a_capture_records_the_changed_attention(route, change):
    model, inputs = Attention(route), tensors()
    asked = CHANGES[change][0](T, S)

    with intervene(model, head=1, **asked), capture(model) as trace:
        during = model(*inputs)

    (call,) = trace.calls
    heads = [[call.weights(h, b) for h in range(H)] for b in range(B)]
    assert call.live == ("weights" not in asked)
    values = inputs[2][:, :1].expand(-1, H, -1, -1) if ROUTES[route][2] else inputs[2]
    scale = torch.tensor([1, CHANGES[change][2], 1])[:, None, None]
    values = values[:, :, : call.key_len]  # keys at the end that nobody sees are left out
    assert_close(torch.from_numpy(np.stack(heads)) @ values * scale, during)
    if call.live:
        outputs = [[call.attention(h, b).output for h in range(H)] for b in range(B)]
        assert_close(torch.from_numpy(np.stack(outputs)), during)


def sdpa_folded(q, k, v):
    return F.scaled_dot_product_attention(*(x.flatten(0, 1) for x in (q, k, v))).unflatten(
        0, (B, H)
    )


@pytest.mark.parametrize("route", [folded, sdpa_folded])
def test_folded_heads_separates_heads_that_are_folded_into_the_batch(route):
    model, inputs = Attention(route), tensors()
    model.num_heads = None
    plain = model(*inputs)

    with intervene(model, head=2, scale=0, folded_heads=H):
        during = model(*inputs)
    with capture(model, folded_heads=H) as trace:
        model(*inputs)

    assert during[:, 2].abs().max() == 0
    assert torch.equal(during[:, :2], plain[:, :2])
    (call,) = trace.calls
    assert (call.batch, call.heads, call.live) == (B, H, True)
    outputs = [[call.attention(h, b).output for h in range(H)] for b in range(B)]
    assert_close(torch.from_numpy(np.stack(outputs)), plain)


def test_a_number_of_folded_heads_that_is_none_is_refused():
    model, inputs = Attention(folded), tensors()
    with pytest.raises(ValueError, match="folded_heads must be at least 1; got 0"):
        capture(model, folded_heads=0).__enter__()
    with (
        pytest.raises(ValueError, match=f"folded_heads=5 must divide the batch.*got {B * H}"),
        intervene(model, scale=0, folded_heads=5),
    ):
        model(*inputs)
    with pytest.warns(UserWarning, match="folded_heads=5"), capture(model, folded_heads=5):
        model(*inputs)


@pytest.mark.parametrize("route", [sdpa, matmul, folded, einsum, exponentials])
def test_a_head_that_is_knocked_out_gives_0_for_infinite_values_too(route):
    model, (q, k, v) = Attention(route), tensors()
    plain = model(q, k, v)
    v[:, 1, 4] = torch.inf

    with intervene(model, head=1, scale=0):
        during = model(q, k, v)

    assert torch.equal(during[:, 1], torch.zeros_like(during[:, 1]))
    assert torch.equal(during[:, [0, 2]], plain[:, [0, 2]])


def test_multihead_attention_gives_0_for_infinite_values_of_a_head_that_is_knocked_out():
    torch.manual_seed(5)
    model, x = nn.MultiheadAttention(12, 3, batch_first=True).eval(), torch.randn(B, T, 12)
    with torch.no_grad():
        model.in_proj_bias[2 * 12 + 4] = torch.inf  # a value of head 1
        for need_weights in (True, False):
            with intervene(model, head=1, scale=0):
                assert model(x, x, x, need_weights=need_weights)[0].isfinite().all()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_a_scale_may_differ_between_sequences(route):
    model, inputs = Attention(route), tensors()
    plain = model(*inputs)

    with intervene(model, head=[2, 0], scale=np.array([[0.5, 1.0], [0.0, -2.0]])):
        during = model(*inputs)

    factors = torch.tensor([[1.0, 1.0, 0.5], [-2.0, 1.0, 0.0]])
    assert_close(during, plain * factors[..., None, None])
    assert torch.equal(during[:, 1], plain[:, 1])


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_multihead_attention_is_changed_as_in_the_formula(change, need_weights):
    torch.manual_seed(5)
    model = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    x, padded = torch.randn(B, T, 12), torch.arange(T).expand(B, T) >= torch.tensor([[T], [3]])

    with (
        intervene(model, head=(0, 1), **CHANGES[change][0](T, T)),
        capture(model) as trace,
    ):
        during, given = model(
            x, x, x, key_padding_mask=padded, need_weights=need_weights, average_attn_weights=False
        )

    mixed = x @ model.in_proj_weight.T + model.in_proj_bias
    q, k, v = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in mixed.chunk(3, dim=-1))
    scores = (q @ k.mT / 2).masked_fill(padded[:, None, None], -torch.inf)
    heads = attended(scores, v, change, (0, 1))
    assert_close(during, model.out_proj(heads.transpose(1, 2).flatten(2)))
    recorded = [[trace.calls[0].weights(h, b) for h in range(3)] for b in range(B)]
    scale = torch.tensor([CHANGES[change][2]] * 2 + [1.0])[:, None, None]
    assert_close(torch.from_numpy(np.stack(recorded)) @ v * scale, heads)
    if need_weights:
        assert_close(given, torch.from_numpy(np.stack(recorded)))
