"""Apply a request's bias, temperature and mask to one block of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.attention.mask_table import find_mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

    from attnpanel.kernels.request import Request
    from attnpanel.kernels.torch_.inputs import TorchInputs


@dataclass(frozen=True, eq=False)
class BlockRule:
    """Bias, temperature and mask of a request, for one block of queries and keys at a time.

    Attributes
    ----------
    request : Request
    tensors : TorchInputs
        Bias and mask of all positions, if any.
    own_mask : bool
        Whether the mask is the one that the request names: it is then computed from positions,
        block by block, and `tensors` needs none.
    """

    request: Request
    tensors: TorchInputs
    own_mask: bool

    def hides_all(self, queries: range, keys: range) -> bool:
        """Return True if no query of the block may see any of its keys; False if unknown."""
        return self.own_mask and all(
            stop.max() <= keys.start or first.min() >= keys.stop
            for first, stop in self._intervals(queries)
        )

    def apply(self, scores: torch.Tensor, queries: range, keys: range) -> torch.Tensor:
        """Return the input (B, H, t, s) of the softmax: -inf where a query may not attend."""
        if self.tensors.bias is not None:
            scores = scores + _block(self.tensors.bias, queries, keys)
        if self.request.temperature != 1:
            scores = scores / self.request.temperature
        visible = self._visible(queries, keys)
        return scores if visible is None else scores.masked_fill(visible.logical_not(), -math.inf)

    def _visible(self, queries: range, keys: range) -> torch.Tensor | None:
        import torch

        if self.own_mask:
            if find_mask(self.request.mask).only is None and all(
                first.max() <= keys.start and stop.min() >= keys.stop
                for first, stop in self._intervals(queries)
            ):
                return None
            device = self.tensors.query.device
            # No indexing: on fake CUDA tensors it fails where PyTorch is built without CUDA.
            i = torch.arange(queries.start, queries.stop, device=device).view(-1, 1)
            j = torch.arange(keys.start, keys.stop, device=device)
            shape = (len(queries), len(keys))
            entries = [rule.sees(i, j, torch.where) for rule in self.request.rules]
            return torch.stack([entry.expand(shape) for entry in entries]).unsqueeze(1)
        if self.tensors.mask is None:
            return None
        whole = (*self.tensors.mask.shape[:2], self.request.query_len, self.request.key_len)
        return _block(self.tensors.mask.expand(whole), queries, keys)

    def _intervals(self, queries: range) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Yield first and end keys of these queries, for the rule of each batch entry."""
        return (rule.interval(queries) for rule in self.request.rules)


def _block(whole: torch.Tensor, queries: range, keys: range) -> torch.Tensor:
    rows = whole.narrow(2, queries.start, len(queries))
    return rows.narrow(3, keys.start, len(keys))
