"""A request's bias, temperature and mask for one block of scores, made where the block is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnpanel.kernels.torch_inputs import mask_rule

if TYPE_CHECKING:
    import torch

    from attnpanel.kernels.request import Request
    from attnpanel.kernels.torch_inputs import TorchInputs


@dataclass(frozen=True, eq=False)
class BlockRule:
    """What a request asks of the scores of some queries and keys.

    Attributes
    ----------
    request : Request
    tensors : TorchInputs
        Bias and mask of all positions, where there are any.
    own_mask : bool
        Whether the mask is the request's own: a causal one or a window is then made from
        positions, block by block, and `tensors` needs none.
    """

    request: Request
    tensors: TorchInputs
    own_mask: bool

    def hides_all(self, queries: range, keys: range) -> bool:
        """Whether none of these queries may see one of these keys; False where not known."""
        return self._causal and keys.start > queries.stop - 1 + self._first_key

    def applied(self, scores: torch.Tensor, queries: range, keys: range) -> torch.Tensor:
        """The scores (B, H, t, s) that the softmax takes: -inf where a query may not attend."""
        if self.tensors.bias is not None:
            scores = scores + _block(self.tensors.bias, queries, keys)
        if self.request.temperature != 1:
            scores = scores / self.request.temperature
        visible = self._visible(queries, keys)
        return scores if visible is None else scores.masked_fill(visible.logical_not(), -math.inf)

    def _visible(self, queries: range, keys: range) -> torch.Tensor | None:
        import torch

        if self._causal and keys.stop - 1 <= queries.start + self._first_key:
            return None
        if self.own_mask and self.request.mask in {"causal", "window"}:
            device = self.tensors.query.device
            i = torch.arange(queries.start, queries.stop, device=device).unsqueeze(1)
            j = torch.arange(keys.start, keys.stop, device=device)
            return mask_rule(self.request, device)(None, None, i, j)
        if self.tensors.mask is None:
            return None
        whole = (*self.tensors.mask.shape[:2], self.request.query_len, self.request.key_len)
        return _block(self.tensors.mask.expand(whole), queries, keys)

    @property
    def _causal(self) -> bool:
        return self.own_mask and self.request.mask == "causal"

    @property
    def _first_key(self) -> int:
        """The position among the keys of the first query."""
        request = self.request
        return request.key_len - request.query_len if request.align == "bottom_right" else 0


def _block(whole: torch.Tensor, queries: range, keys: range) -> torch.Tensor:
    rows = whole.narrow(2, queries.start, len(queries))
    return rows.narrow(3, keys.start, len(keys))
