"""What an intervention says of positions, passes and heads that it does not reach."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, head_importance, intervene  # noqa: E402

B, H, T, S, D = 2, 3, 5, 7, 11
CHANNELS = 12


class Given(nn.Module):
    """Attention over given tensors, fused or written out."""

    def __init__(self, *, fused=True):
        super().__init__()
        self.fused = fused

    def forward(self, q, k, v):
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v)
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v


def tensors():
    torch.manual_seed(3)
    return torch.randn(B, H, T, D), torch.randn(B, H, S, D), torch.randn(B, H, S, D)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"hide_keys": S}, r"hide_keys=\[7\] had no effect"),
        ({"hide_keys": [0, 99]}, r"hide_keys=\[99\] had no effect"),
        ({"hide_keys": range(7, 20)}, r"hide_keys=\[7, 8, 9, … \(13 in all\)\]"),
        ({"hide_edges": [(T, 0), (4, 6)]}, r"hide_edges=\[\(5, 0\)\] had no effect"),
        ({"hide_edges": [(0, S)]}, r"hide_edges=\[\(0, 7\)\] had no effect"),
    ],
)
def test_hidden_positions_beyond_every_call_are_named_with_both_lengths(asked, named, fused):
    model, inputs = Given(fused=fused), tensors()

    with (
        pytest.warns(UserWarning, match=rf"{named}.*5 queries and 7 keys"),
        intervene(model, **asked),
    ):
        model(*inputs)


def test_a_position_that_one_of_several_calls_has_is_no_warning():
    model, (q, k, v) = Given(), tensors()

    with intervene(model, hide_keys=S - 1, hide_edges=[(T - 1, 2)]):
        model(q[:, :, :2], k[:, :, :3], v[:, :, :3])
        model(q, k, v)


class Shared(nn.Module):
    """One attention, run three times, as ALBERT's layers."""

    def __init__(self, *, fused):
        super().__init__()
        self.layer = Given(fused=fused)

    def forward(self, q, k, v):
        for _ in range(3):
            q = self.layer(q, k, v)
        return q


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("change", [{"scale": 0.5}, {"temperature": 0.5}])
def test_one_pass_of_a_shared_layer_is_changed_and_the_others_stay(change, fused):
    model, (q, k, v) = Shared(fused=fused), tensors()

    with intervene(model, passes=1, head=2, **change), capture(model) as trace:
        during = model(q, k, v)

    expected = model.layer(q, k, v)
    with intervene(model.layer, head=2, **change):
        expected = model.layer(expected, k, v)
    expected = model.layer(expected, k, v)
    np.testing.assert_array_equal(during, expected)
    assert [call.layer for call in trace] == ["layer"] * 3


def test_passes_count_from_the_beginning_of_the_block():
    model, inputs = Shared(fused=True), tensors()
    plain = model(*inputs)

    with intervene(model, passes=[4], scale=0):
        runs = [model(*inputs) for _ in range(2)]

    np.testing.assert_array_equal(runs[0], plain)
    assert not torch.equal(runs[1], plain)


def test_alberts_passes_are_those_of_its_trace():
    torch.manual_seed(0)
    config = transformers.AlbertConfig(
        vocab_size=61,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=16,
    )
    model = transformers.AlbertModel(config).eval()
    ids = torch.arange(1, 8)[None]
    with torch.no_grad(), capture(model) as before:
        model(ids)
    with torch.no_grad(), intervene(model, passes=2, temperature=0.25), capture(model) as after:
        model(ids)

    for first, second in zip(before, after, strict=True):
        same = np.array_equal(first.weights(), second.weights())
        assert same == (first.index < 2)


@pytest.mark.parametrize(
    ("passes", "complaint"),
    [
        (-1, "passes must be an integer from 0"),
        (1.5, "passes must be an integer from 0"),
        ([], "passes must name at least one pass"),
    ],
)
def test_passes_that_are_none_are_refused(passes, complaint):
    with pytest.raises(ValueError, match=complaint), intervene(Given(), passes=passes, scale=0):
        pass


def test_passes_beyond_every_call_are_named():
    model, inputs = Shared(fused=True), tensors()

    with (
        pytest.warns(UserWarning, match=r"passes=\[7\] had no effect: .* more than 3 times"),
        intervene(model, passes=[0, 7], scale=0),
    ):
        model(*inputs)


class Attention(nn.Module):
    """Self-attention; `extra` says what is added to the heads, or to what they are merged to."""

    def __init__(self, extra="", *, fused=True):
        super().__init__()
        self.inputs = nn.Linear(CHANNELS, 3 * CHANNELS)
        self.output = nn.Linear(CHANNELS, CHANNELS)
        self.positions = nn.Parameter(torch.randn(T, T, CHANNELS // H))
        self.extra, self.attend = extra, Given(fused=fused).forward

    def forward(self, x):
        q, k, v = (
            part.unflatten(-1, (H, -1)).transpose(1, 2) for part in self.inputs(x).chunk(3, -1)
        )
        mixed = self.attend(q, k, v)
        if self.extra == "local":  # CSWin's positions: a convolution of the values
            mixed = mixed + F.avg_pool1d(v.flatten(0, 1).mT, 3, 1, 1).mT.unflatten(0, (B, H))
        elif self.extra == "relative":  # Shaw's: of the values, by distance
            weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
            mixed = mixed + torch.einsum("bhqk,qkd->bhqd", weights, self.positions)
        elif self.extra == "in place":
            mixed += v
        merged = mixed.transpose(1, 2).contiguous().flatten(2)
        if self.extra == "rows":  # Longformer's: global tokens are computed apart
            merged[:, :1] = merged[:, 1:2] + x[:, :1]
        elif self.extra == "residual":  # without a projection: no part of the heads
            return x + merged
        elif self.extra == "residual in place":
            merged += x
            return merged
        return self.output(merged)


class Residual(nn.Module):
    def __init__(self, *arguments, **options):
        super().__init__()
        self.attention = Attention(*arguments, **options)

    def forward(self, x):
        return x + self.attention(x)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("extra", ["local", "relative", "in place", "rows"])
def test_what_a_layer_adds_to_a_knocked_out_head_is_reported(extra, fused):
    torch.manual_seed(0)
    model, x = Residual(extra, fused=fused).eval(), torch.randn(B, T, CHANNELS)
    with torch.no_grad(), capture(model) as trace:
        model(x)

    with (
        torch.no_grad(),
        pytest.warns(UserWarning, match="leaves layer attention with another output than 0"),
        intervene(model, scale=0, head=1),
    ):
        model(x)
    with pytest.warns(UserWarning, match="importance of layer attention is unknown"):
        importance = head_importance(model, lambda: model(x), trace)
    assert np.isnan(importance[0]).all()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("extra", ["", "residual", "residual in place"])
def test_a_residual_is_no_part_of_a_knocked_out_head(extra, fused):
    torch.manual_seed(0)
    model, x = Residual(extra, fused=fused).eval(), torch.randn(B, T, CHANNELS)

    with torch.no_grad(), intervene(model, scale=0, head=1):  # a warning would be an error
        model(x)


def test_a_knocked_out_head_is_followed_until_it_leaves_its_module_and_no_further():
    model, inputs = Given(), tensors()

    with intervene(model, scale=0):
        assert (model(*inputs) + 1).eq(1).all()
