"""What a model's mask tensor says, in the fewest bytes: boolean, causal or additive.

Models write the same thing in many ways: True or False, 0 and -inf, 0 and the smallest finite
number, full size or broadcast. A trace says it in one.
"""

from __future__ import annotations

import hashlib
import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.attention_call import Causal

# At or below this an additive mask hides a key: the weight next to any visible key is
# exp(-1e9), exactly 0. Half precision cannot hold it and uses its own smallest number.
HIDDEN = -1e9
# Where a finite mask hides *every* key of a row, the scores vanish in the rounding of the huge
# number and the model's weights are uniform over all keys, not zero. A bias of this size does
# the same in float32, where its last bit is worth 7e22, and is far from overflowing.
DROWN = np.float32(-1e30)


@dataclass(frozen=True, eq=False)
class Visibility:
    """Which keys each query sees, and what is added to its scores.

    Attributes
    ----------
    mask : bool array broadcastable to (B, H, T, S), or None
    bias : float32 array broadcastable to (B, H, T, S), or None
    causal : {"none", "top_left", "bottom_right"}
        Holds together with `mask`.
    """

    mask: NDArray[np.bool_] | None = None
    bias: NDArray[np.float32] | None = None
    causal: Causal = "none"


class MaskReader:
    """Reads mask tensors into :class:`Visibility`, storing each distinct array once."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], NDArray[Any]] = {}
        self._read: dict[int, tuple[weakref.ref[Tensor], tuple[object, ...], Visibility]] = {}

    @property
    def stored_bytes(self) -> int:
        """What the distinct arrays take."""
        return sum(array.nbytes for array in self._arrays.values())

    def read(
        self, mask: Tensor | None, bias: Tensor | None, query_len: int, key_len: int
    ) -> Visibility:
        """Read a mask and a bias of up to four axes; either may be longer than S and is cut."""
        seen = Visibility() if mask is None else self._remembered(mask, query_len, key_len)
        if bias is None:
            return seen
        added = self._remembered(bias, query_len, key_len)
        return self._together(seen, added)

    def _remembered(self, tensor: Tensor, query_len: int, key_len: int) -> Visibility:
        """Read a tensor once, however many layers it is handed to."""
        if tensor.is_inference():  # has no version counter: a change in place would go unseen
            return self._convert(tensor, query_len, key_len)
        state = (tensor._version, query_len, key_len)  # noqa: SLF001 - torch's documented counter
        known = self._read.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == state:
            return known[2]
        seen = self._convert(tensor, query_len, key_len)
        self._read[id(tensor)] = (weakref.ref(tensor), state, seen)
        return seen

    def _convert(self, tensor: Tensor, query_len: int, key_len: int) -> Visibility:
        import torch

        shape = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
        four = tensor.detach().reshape(shape)[..., :key_len]
        if four.dtype == torch.bool:
            visible, added = four.cpu().numpy(), None
        else:
            additive = four.to("cpu", torch.float32).numpy()
            visible, added = split(additive, hidden_at(four.dtype))
        visible = compact(visible)
        causal: Causal = "none"
        if query_len > 1 and visible.shape[-2:] == (query_len, key_len):
            causal, visible = factor_causal(visible)
        return Visibility(
            mask=None if visible.all() else self._once(visible),
            bias=None if added is None or not added.any() else self._once(compact(added)),
            causal=causal,
        )

    def _together(self, one: Visibility, other: Visibility) -> Visibility:
        if one.causal != "none" and other.causal not in {"none", one.causal}:
            raise ValueError("mask and bias must agree in their causal rule")
        mask = _combine(np.logical_and, one.mask, other.mask)
        bias = _combine(np.add, one.bias, other.bias)
        return replace(
            one,
            mask=None if mask is None else self._once(mask),
            bias=None if bias is None else self._once(bias),
            causal=other.causal if one.causal == "none" else one.causal,
        )

    def _once(self, array: NDArray[Any]) -> NDArray[Any]:
        data = np.ascontiguousarray(array)
        name = (data.shape, data.dtype.str, hashlib.blake2b(data.tobytes()).digest())
        if name not in self._arrays:
            kept = data.copy()
            kept.flags.writeable = False  # AttentionCall shares read-only arrays
            self._arrays[name] = kept
        return self._arrays[name]


def hidden_at(dtype: torch.dtype) -> float:
    """The number at or below which an additive mask of a dtype hides a key."""
    import torch

    return max(HIDDEN, float(torch.finfo(dtype).min / 2))


def split(
    additive: NDArray[np.float32], limit: float
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Split an additive mask (…, T, S) into which keys are seen and what is added to them.

    A row hidden throughout by finite numbers sees every key, drowned: see ``DROWN``. A row of
    -inf throughout sees none.
    """
    hidden = additive <= limit
    drowned = hidden.all(axis=-1, keepdims=True) & ~np.isneginf(additive).any(
        axis=-1, keepdims=True
    )
    bias = np.where(hidden, np.float32(0), additive)
    return ~hidden | drowned, np.where(drowned, DROWN, bias)


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """Shrink every axis along which nothing changes to length 1, for broadcasting."""
    for axis in range(array.ndim):
        first = array.take([0], axis=axis)
        if array.shape[axis] > 1 and (array == first).all():
            array = first
    return array


def factor_causal(visible: NDArray[np.bool_]) -> tuple[Causal, NDArray[np.bool_]]:
    """Split a mask (…, T, S) into a causal rule and the keys hidden from everybody, if it is one.

    Causal attention over padded sequences is most of the T by S masks there are; this way they
    take S numbers a sequence.
    """
    query_len, key_len = visible.shape[-2:]
    rules: dict[int, Causal] = {0: "top_left"}
    rules.setdefault(key_len - query_len, "bottom_right")
    keys: NDArray[np.bool_] = np.asarray(visible.any(axis=-2, keepdims=True))
    for offset, name in rules.items():
        triangle = np.tri(query_len, key_len, offset, dtype=np.bool_)
        if not triangle.all() and np.array_equal(visible, triangle & keys):
            return name, _keep_reach(keys, triangle)
    return "none", visible


def _keep_reach(keys: NDArray[np.bool_], triangle: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop from `keys` what the triangle hides anyway, so that plain causal needs no mask."""
    return compact(keys | ~triangle.any(axis=-2))


def _combine(
    how: np.ufunc, one: NDArray[Any] | None, other: NDArray[Any] | None
) -> NDArray[Any] | None:
    if one is None or other is None:
        return one if other is None else other
    return np.asarray(how(one, other))
