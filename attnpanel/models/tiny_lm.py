"""A decoder-only transformer in plain PyTorch, small enough to read in one sitting.

The only file of the package that imports torch at its top; it is itself imported inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class Attention(nn.Module):
    """Causal self-attention: each position attends to itself and to earlier positions.

    Parameters
    ----------
    d_model : int
        Channels of the residual stream, divided among the heads.
    heads : int
    """

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(d_model, 3 * d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attention output, (B, T, d_model)."""
        batch, length, d_model = x.shape
        split = self.query_key_value(x).view(batch, length, 3, self.heads, d_model // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        found = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(found.transpose(1, 2).reshape(batch, length, d_model))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention moves information between positions, an MLP works on each position."""

    def __init__(self, d_model: int, heads: int, *, attends: bool) -> None:
        super().__init__()
        self.attention = Attention(d_model, heads) if attends else None
        self.before_attention = nn.LayerNorm(d_model)
        self.before_mlp = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the residual stream after this layer, (B, T, d_model)."""
        if self.attention is not None:
            x = x + self.attention(self.before_attention(x))
        return x + self.mlp(self.before_mlp(x))  # type: ignore[no-any-return]


class TinyLM(nn.Module):
    """A language model: from tokens to scores of every possible next token.

    Parameters
    ----------
    vocabulary : int
        Number of different tokens.
    length : int
        The longest sequence, in tokens.
    d_model : int
        Channels of the residual stream.
    heads : int
        Attention heads a layer; divides `d_model`.
    layers : int
    attends : bool, optional
        False removes attention from every layer: a baseline that sees one token only.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        *,
        d_model: int,
        heads: int,
        layers: int,
        attends: bool = True,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, d_model)
        self.positions = nn.Embedding(length, d_model)
        self.blocks = nn.ModuleList(Block(d_model, heads, attends=attends) for _ in range(layers))
        self.norm = nn.LayerNorm(d_model)
        self.next_token = nn.Linear(d_model, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of the next token, (B, T, vocabulary), for tokens (B, T)."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(positions)
        for block in self.blocks:
            x = block(x)
        return self.next_token(self.norm(x))  # type: ignore[no-any-return]
