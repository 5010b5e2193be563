"""The mask of an intervention: which keys it hides in addition to those the model hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.attention.mask_table import find_mask
from attnpanel.attention.masks import VisibleKeys
from attnpanel.attention.validation import as_array, as_list, check_choice, check_count
from attnpanel.models.intervene.target import as_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.models.intervene.target import CallTarget

MaskName = Literal["causal", "window"]


@dataclass(frozen=True, eq=False)
class MaskRule:
    """What is hidden, by positions in the sequence.

    Attributes
    ----------
    kind : {"causal", "window"} or None
        As in :func:`attnpanel.make_mask`, aligned at the queries' own positions.
    window : int or None
        A query at position p sees the keys j with ``|p - j| < window``.
    keys : tuple of int
        Keys that no query sees.
    edges : tuple of (int, int)
        Pairs (query position, key) that are hidden.
    array : bool array broadcastable to (B, chosen heads, T, S), or None
        True where a query may attend to a key.
    """

    kind: MaskName | None = None
    window: int | None = None
    keys: tuple[int, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    array: NDArray[np.bool_] | None = None

    def visible(self, target: CallTarget, heads: int) -> Tensor:
        """Return the rule as a bool tensor broadcastable to (B, heads, T, S).

        Raises
        ------
        ValueError
            If an array does not broadcast to the call's sizes.
        """
        import torch

        query = torch.arange(target.query_len, device=target.device)[:, None]
        key = torch.arange(target.key_len, device=target.device)
        position = query + target.q_offset
        rule = VisibleKeys(
            find_mask(self.kind or "none"),
            target.query_len,
            target.key_len,
            target.q_offset,
            {"window": self.window},
        )
        visible: Tensor = rule.sees(query, key, torch.where).expand(
            target.query_len, target.key_len
        )
        for hidden in self.keys:
            visible = visible & (key != hidden)
        for row, hidden in self.edges:
            visible = visible & ((position != row) | (key != hidden))
        if self.array is not None:
            visible = visible & _to_tensor(self.array, target, heads)
        return visible


def _to_tensor(array: NDArray[np.bool_], target: CallTarget, heads: int) -> Tensor:
    import torch

    full = (target.batch, heads, target.query_len, target.key_len)
    try:
        np.broadcast_to(array, full)
    except ValueError:
        raise ValueError(
            f"mask must broadcast to (B, chosen heads, T, S) = {full} in layer "
            f"{target.layer!r}; got shape {array.shape}"
        ) from None
    return torch.tensor(array, device=target.device)


def mask_rule(
    mask: Any, window: int | None, keys: int | Iterable[int], edges: Iterable[tuple[int, int]]
) -> MaskRule | None:
    """Check the mask arguments of :func:`attnpanel.intervene`; None if they hide nothing.

    Raises
    ------
    ValueError
        If an argument breaks its rule.
    """
    hidden = tuple(as_numbers(keys))
    for key in hidden:
        check_count("hide_keys", key)
    cut = tuple(_check_edge(edge) for edge in as_list("hide_edges", edges))
    if (window is not None) != (isinstance(mask, str) and mask == "window"):
        raise ValueError(f"mask='window' and window go together; got {mask!r} and {window!r}")
    if window is not None and (type(window) is not int or window < 1):
        raise ValueError(f"window must be an integer from 1; got {window!r}")
    if isinstance(mask, str):
        check_choice("mask", mask, ("causal", "window"))
        return MaskRule(mask, window, hidden, cut)  # type: ignore[arg-type]  # checked above
    if mask is None:
        return MaskRule(keys=hidden, edges=cut) if hidden or cut else None
    array = as_array(mask)
    if array.dtype != np.bool_ or array.ndim > 4:
        raise ValueError(
            "mask must be 'causal', 'window' or a bool array of up to four axes, True = may "
            f"attend; got {array.dtype} of shape {array.shape}"
        )
    return MaskRule(keys=hidden, edges=cut, array=array)


def _check_edge(edge: Any) -> tuple[int, int]:
    pair = as_numbers(edge)
    if isinstance(edge, str) or len(pair) != 2:
        raise ValueError(f"hide_edges must hold pairs (query, key); got {edge!r}")
    for number in pair:
        check_count("hide_edges", number)
    return pair[0], pair[1]
