"""Online softmax: running max, sum and weighted values that merge keys block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def products(query: torch.Tensor, key: torch.Tensor, work: torch.dtype) -> torch.Tensor:
    """Return the products of queries and keys, (B, H, t, s), with grouped key heads."""
    grouped = _in_groups(query.to(work), key.shape[1])
    return (grouped @ key.to(work).mT.unsqueeze(2)).flatten(1, 2)


def mix(weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return each query's weighted sum of values, (B, H, t, Dv)."""
    grouped = _in_groups(weights, value.shape[1])
    return (grouped @ value.to(weights.dtype).unsqueeze(2)).flatten(1, 2)


def _in_groups(x: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """Group heads (B, H, …) by their key head: (B, Hkv, H / Hkv, …)."""
    return x.reshape(x.shape[0], kv_heads, -1, *x.shape[2:])


@dataclass(frozen=True, eq=False)
class OnlineSoftmaxState:
    """State of an online softmax over the keys added so far, for each query.

    Attributes
    ----------
    row_max, total : tensor of shape (B, H, t, 1)
        The largest score, -inf before the first key, and the sum of exp(score - row_max).
    weighted : tensor of shape (B, H, t, Dv)
        The sum of the values, each times its exp(score - row_max).

    References
    ----------
    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
    """

    row_max: torch.Tensor
    total: torch.Tensor
    weighted: torch.Tensor

    @classmethod
    def empty(cls, query: torch.Tensor, value_dim: int) -> OnlineSoftmaxState:
        """Return the state before the first key, in float32 or wider."""
        import torch

        work = torch.promote_types(query.dtype, torch.float32)
        rows = query.shape[:3]
        return cls(
            query.new_full((*rows, 1), -math.inf, dtype=work),
            query.new_zeros((*rows, 1), dtype=work),
            query.new_zeros((*rows, value_dim), dtype=work),
        )

    def rows(self, start: int, count: int) -> OnlineSoftmaxState:
        """Return a view of some queries' state; adding to it adds to the whole."""
        parts = (x.narrow(2, start, count) for x in (self.row_max, self.total, self.weighted))
        return OnlineSoftmaxState(*parts)

    def add(self, scores: torch.Tensor, value: torch.Tensor) -> None:
        """Merge a block of keys, by their scores and values, in place."""
        import torch

        new_max = torch.maximum(self.row_max, scores.amax(-1, keepdim=True))
        # -inf - -inf is nan: a row without a visible key so far is shifted by 0.
        shift = new_max.masked_fill(new_max == -math.inf, 0.0)
        weights = (scores - shift).exp_()  # (B, H, t, s)
        rescale = (self.row_max - shift).exp_()
        self.total.mul_(rescale).add_(weights.sum(-1, keepdim=True))
        self.weighted.mul_(rescale).add_(mix(weights, value))
        torch.maximum(self.row_max, new_max, out=self.row_max)

    def output(self) -> torch.Tensor:
        """Return the attention output; 0 for a query without a visible key."""
        return self.weighted / self.total.masked_fill(self.total == 0, 1.0)

    def logsumexp(self) -> torch.Tensor:
        """Return the logsumexp in nats, (B, H, t); -inf for a query without a visible key."""
        return (self.row_max + self.total.log()).squeeze(-1)
