"""Small models to capture."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


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


def active_modes():
    return torch.overrides._get_current_function_mode_stack()
