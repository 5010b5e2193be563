"""Small models to capture."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812


def bert(attention="sdpa"):
    config = transformers.BertConfig(
        vocab_size=61,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=20,
    )
    return transformers.BertModel._from_config(config, attn_implementation=attention).eval()


def run(model, tokens=7):
    with torch.no_grad():
        return model(torch.arange(tokens)[None])


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


def active_modes():
    return torch.overrides._get_current_function_mode_stack()
