"""A softmax that can be gone on with: what queries have seen of the keys so far.

Two such are merged exactly, so keys may come in any number of blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def products(query: torch.Tensor, key: torch.Tensor, work: torch.dtype) -> torch.Tensor:
    """Every query's product with every key, (B, H, t, s); a key head serves a group of heads."""
    grouped = _in_groups(query.to(work), key.shape[1])
    return (grouped @ key.to(work).mT.unsqueeze(2)).flatten(1, 2)


def mix(weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Every query's sum of weighted values, (B, H, t, Dv)."""
    grouped = _in_groups(weights, value.shape[1])
    return (grouped @ value.to(weights.dtype).unsqueeze(2)).flatten(1, 2)


def _in_groups(x: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """Heads (B, H, …) by the key head that they read: (B, Hkv, H / Hkv, …)."""
    return x.reshape(x.shape[0], kv_heads, -1, *x.shape[2:])


@dataclass(frozen=True, eq=False)
class SeenKeys:
    """What queries have seen of the keys so far; a softmax that can be gone on with.

    Attributes
    ----------
    top, total : tensor of shape (B, H, t, 1)
        The largest score, -inf before there was one, and the sum of exp(score - top).
    mixed : tensor of shape (B, H, t, Dv)
        The values, each times its exp(score - top).
    """

    top: torch.Tensor
    total: torch.Tensor
    mixed: torch.Tensor

    @classmethod
    def nothing(cls, query: torch.Tensor, value_dim: int) -> SeenKeys:
        """Before the first key, in float32 at least."""
        import torch

        work = torch.promote_types(query.dtype, torch.float32)
        rows = query.shape[:3]
        return cls(
            query.new_full((*rows, 1), -math.inf, dtype=work),
            query.new_zeros((*rows, 1), dtype=work),
            query.new_zeros((*rows, value_dim), dtype=work),
        )

    def rows(self, start: int, count: int) -> SeenKeys:
        """Some of the queries; adding to them adds to the whole."""
        parts = (x.narrow(2, start, count) for x in (self.top, self.total, self.mixed))
        return SeenKeys(*parts)

    def add(self, scores: torch.Tensor, value: torch.Tensor) -> None:
        """Let the queries see these keys too."""
        import torch

        highest = torch.maximum(self.top, scores.amax(-1, keepdim=True))
        # -inf - -inf is nan: a row that has seen nothing yet is shifted by 0.
        shift = highest.masked_fill(highest == -math.inf, 0.0)
        weights = (scores - shift).exp_()  # (B, H, t, s)
        shrunk = (self.top - shift).exp_()
        self.total.mul_(shrunk).add_(weights.sum(-1, keepdim=True))
        self.mixed.mul_(shrunk).add_(mix(weights, value))
        torch.maximum(self.top, highest, out=self.top)

    def output(self) -> torch.Tensor:
        """The mean of the values; 0 where no key was seen."""
        return self.mixed / self.total.masked_fill(self.total == 0, 1.0)

    def logsumexp(self) -> torch.Tensor:
        """In nats, (B, H, t); -inf where no key was seen."""
        return (self.top + self.total.log()).squeeze(-1)
