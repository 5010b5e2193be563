"""A model that computes scaled_dot_product_attention in a module of its own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812


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
