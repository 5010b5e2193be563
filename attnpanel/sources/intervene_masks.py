"""Which keys an intervention lets a query see, beside those the model hides anyway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.rules import check_choice, check_count

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.sources.intervene_place import Place

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
        Query position and key that are cut.
    array : bool array broadcastable to (B, chosen heads, T, S), or None
        True where a query may attend to a key.
    """

    kind: MaskName | None = None
    window: int | None = None
    keys: tuple[int, ...] = ()
    edges: tuple[tuple[int, int], ...] = ()
    array: NDArray[np.bool_] | None = None

    def visible(self, place: Place, heads: int) -> Tensor:
        """Return the rule as a bool tensor broadcastable to (B, heads, T, S).

        Raises
        ------
        ValueError
            If an array does not broadcast to the call's sizes.
        """
        import torch

        position = torch.arange(place.query_len, device=place.device)[:, None] + place.first
        key = torch.arange(place.key_len, device=place.device)
        seen = torch.ones(place.query_len, place.key_len, dtype=torch.bool, device=place.device)
        if self.kind == "causal":
            seen = key <= position
        elif self.kind == "window":
            seen = (position - key).abs() < (self.window or 1)
        for hidden in self.keys:
            seen = seen & (key != hidden)
        for query, hidden in self.edges:
            seen = seen & ((position != query) | (key != hidden))
        if self.array is not None:
            seen = seen & _given(self.array, place, heads)
        return seen


def _given(array: NDArray[np.bool_], place: Place, heads: int) -> Tensor:
    import torch

    full = (place.batch, heads, place.query_len, place.key_len)
    try:
        np.broadcast_to(array, full)
    except ValueError:
        raise ValueError(
            f"mask must broadcast to (B, chosen heads, T, S) = {full} in layer "
            f"{place.layer!r}; got shape {array.shape}"
        ) from None
    return torch.tensor(array, device=place.device)


def mask_rule(
    mask: Any, window: int | None, keys: int | Iterable[int], edges: Iterable[tuple[int, int]]
) -> MaskRule | None:
    """Check what the caller hides; None where that is nothing.

    Raises
    ------
    ValueError
        If an argument breaks its rule.
    """
    hidden = tuple(keys) if isinstance(keys, Iterable) else (keys,)
    for key in hidden:
        check_count("hide_keys", key)
    cut = tuple(_edge(edge) for edge in edges)
    if (window is not None) != (isinstance(mask, str) and mask == "window"):
        raise ValueError(f"mask='window' and window go together; got {mask!r} and {window!r}")
    if window is not None and (type(window) is not int or window < 1):
        raise ValueError(f"window must be an integer from 1; got {window!r}")
    if isinstance(mask, str):
        check_choice("mask", mask, ("causal", "window"))
        return MaskRule(mask, window, hidden, cut)  # type: ignore[arg-type]  # checked above
    if mask is None:
        return MaskRule(keys=hidden, edges=cut) if hidden or cut else None
    array = np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)
    if array.dtype != np.bool_ or array.ndim > 4:
        raise ValueError(
            "mask must be 'causal', 'window' or a bool array of up to four axes, True = may "
            f"attend; got {array.dtype} of shape {array.shape}"
        )
    return MaskRule(keys=hidden, edges=cut, array=array)


def _edge(edge: Any) -> tuple[int, int]:
    if not isinstance(edge, tuple | list) or len(edge) != 2:
        raise ValueError(f"hide_edges must hold pairs (query, key); got {edge!r}")
    for number in edge:
        check_count("hide_edges", number)
    return edge[0], edge[1]
