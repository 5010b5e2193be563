"""Heads that come before the sequences of a batch are heads, and their batch is a batch."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from attnpanel import capture, head_importance, intervene  # noqa: E402

B, H, T, D = 2, 3, 5, 4
# Sums of float32 products in another order.
ATOL = 1e-5


def written(q, k, v):
    return (q @ k.mT / D**0.5).softmax(-1) @ v


def split(x):
    return x.unflatten(-1, (H, D))


LAYOUTS = {  # of what a linear layer gives, (B, T, H · D)
    "an axis": lambda x: split(x).permute(2, 0, 1, 3),
    "an axis in memory of its own": lambda x: split(x).permute(2, 0, 1, 3).contiguous(),
    "stacked": lambda x: torch.stack(x.chunk(H, -1)),
    "folded": lambda x: split(x).permute(2, 0, 1, 3).reshape(H * B, T, D),
    "folded in a view": lambda x: split(x).permute(2, 0, 1, 3).contiguous().view(-1, T, D),
    "joined": lambda x: torch.cat(x.split(D, 2), 0),  # as in Set Transformer
}
AFTER = {
    "an axis": lambda x: split(x).transpose(1, 2),
    "folded": lambda x: split(x).transpose(1, 2).reshape(B * H, T, D),
}


class Layer(nn.Module):
    num_heads = H

    def __init__(self, attend, layout):
        super().__init__()
        self.attend, self.layout = attend, layout
        self.q, self.k, self.v = (nn.Linear(H * D, H * D) for _ in range(3))

    def forward(self, x):
        mixed = self.attend(*(self.layout(part(x)) for part in (self.q, self.k, self.v)))
        return mixed.view(H, B, T, D).permute(1, 2, 0, 3).flatten(2)


def weights_of(model, x):
    query, key = (split(part(x)).transpose(1, 2) for part in (model.q, model.k))
    return (query @ key.mT / D**0.5).softmax(-1).numpy()


@pytest.fixture
def x():
    return torch.randn(B, T, H * D, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("attend", [written, F.scaled_dot_product_attention])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_call_has_the_batch_first(attend, layout, x):
    model = Layer(attend, LAYOUTS[layout])
    with torch.no_grad(), capture(model) as trace:
        model(x)
        expected = weights_of(model, x)

    np.testing.assert_allclose(trace[0].weights(), expected, rtol=0, atol=ATOL)


@pytest.mark.parametrize("attend", [written, F.scaled_dot_product_attention])
@pytest.mark.parametrize("layout", ["an axis", "folded"])
def test_a_head_before_the_batch_is_not_chosen(attend, layout, x):
    model = Layer(attend, LAYOUTS[layout])

    with (
        pytest.raises(ValueError, match="heads must come after the batch"),
        intervene(model, head=1, scale=0),
    ):
        model(x)


def test_the_importance_of_a_head_before_the_batch_is_refused(x):
    model = Layer(written, LAYOUTS["folded"])
    with torch.no_grad(), capture(model) as trace:
        model(x)

    with pytest.raises(ValueError, match="heads must come after the batch"):
        head_importance(model, lambda: model(x), trace)


@pytest.mark.parametrize("layout", AFTER)
def test_heads_after_the_batch_stay_there(layout, x):
    model = Layer(written, AFTER[layout])
    with torch.no_grad(), capture(model) as trace:
        model(x)
        expected = weights_of(model, x)

    np.testing.assert_allclose(trace[0].weights(), expected, rtol=0, atol=ATOL)
