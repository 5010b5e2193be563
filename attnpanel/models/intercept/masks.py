"""Convert a model's mask tensor to the smallest equivalent: boolean, causal or additive.

Models write the same mask in many ways: True or False, 0 and -inf, 0 and the smallest finite
number, full size or broadcast. A trace stores one form.
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

    from attnpanel.trace.call import Causal

# At or below this an additive mask hides a key: the weight next to any visible key is
# exp(-1e9), exactly 0. Half precision cannot hold it and uses its own smallest number.
HIDDEN_BELOW = -1e9
# Where a finite mask hides *every* key of a row, the scores vanish in the rounding of the huge
# number and the model's weights are uniform over all keys, not zero. A bias of this size does
# the same in float32, where its last bit is worth 7e22, and is far from overflowing.
UNIFORM_ROW_BIAS = np.float32(-1e30)


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
    """Convert mask tensors to :class:`Visibility`, storing each distinct array once."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], NDArray[Any]] = {}
        self._read: dict[int, tuple[weakref.ref[Tensor], tuple[object, ...], Visibility]] = {}
        self.stored_bytes = 0  # of the distinct arrays

    def read(
        self, mask: Tensor | None, bias: Tensor | None, query_len: int, key_len: int
    ) -> Visibility:
        """Read a mask and a bias of up to four axes; keys beyond S are cut from either."""
        visibility = Visibility() if mask is None else self._read_cached(mask, query_len, key_len)
        if bias is None:
            return visibility
        return self._merge(visibility, self._read_cached(bias, query_len, key_len))

    def _read_cached(self, tensor: Tensor, query_len: int, key_len: int) -> Visibility:
        """Read a tensor once, however many layers share it."""
        if tensor.is_inference():  # no version counter: a change in place would go unnoticed
            return self._convert(tensor, query_len, key_len)
        state = (tensor._version, query_len, key_len)  # noqa: SLF001 - torch's documented counter
        cached = self._read.get(id(tensor))
        if cached is not None and cached[0]() is tensor and cached[1] == state:
            return cached[2]
        visibility = self._convert(tensor, query_len, key_len)
        self._read[id(tensor)] = (weakref.ref(tensor), state, visibility)
        return visibility

    def _convert(self, tensor: Tensor, query_len: int, key_len: int) -> Visibility:
        import torch

        shape = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
        four = tensor.detach().reshape(shape)[..., :key_len]
        if four.dtype == torch.bool:
            visible, added = four.cpu().numpy(), None
        else:
            additive = four.to("cpu", torch.float32).numpy()
            visible, added = split_additive_mask(additive, hidden_threshold(four.dtype))
        visible = compact(visible)
        causal: Causal = "none"
        if query_len > 1 and visible.shape[-2:] == (query_len, key_len):
            causal, visible = factor_causal(visible)
        return Visibility(
            mask=None if visible.all() else self._deduplicate(visible),
            bias=None if added is None or not added.any() else self._deduplicate(compact(added)),
            causal=causal,
        )

    def _merge(self, mask: Visibility, bias: Visibility) -> Visibility:
        if mask.causal != "none" and bias.causal not in {"none", mask.causal}:
            raise ValueError(
                "mask and bias must agree in their causal rule; "
                f"got {mask.causal} and {bias.causal}"
            )
        both_masks = _combine(np.logical_and, mask.mask, bias.mask)
        both_biases = _combine(np.add, mask.bias, bias.bias)
        return replace(
            mask,
            mask=None if both_masks is None else self._deduplicate(both_masks),
            bias=None if both_biases is None else self._deduplicate(both_biases),
            causal=bias.causal if mask.causal == "none" else mask.causal,
        )

    def _deduplicate(self, array: NDArray[Any]) -> NDArray[Any]:
        data = np.ascontiguousarray(array)
        key = (data.shape, data.dtype.str, hashlib.blake2b(data.tobytes()).digest())
        if key not in self._arrays:
            stored = data.copy()
            stored.flags.writeable = False  # AttentionCall shares read-only arrays
            self._arrays[key] = stored
            self.stored_bytes += stored.nbytes
        return self._arrays[key]


def hidden_threshold(dtype: torch.dtype) -> float:
    """Return the number at or below which an additive mask of a dtype hides a key."""
    import torch

    return max(HIDDEN_BELOW, float(torch.finfo(dtype).min / 2))


def split_additive_mask(
    additive: NDArray[np.float32], limit: float
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Split an additive mask (…, T, S) into a boolean mask and a bias.

    A row that finite numbers hide entirely gets uniform weights: all its keys are visible, with
    ``UNIFORM_ROW_BIAS``. A row of -inf only sees no key.
    """
    hidden = additive <= limit
    uniform = hidden.all(axis=-1, keepdims=True) & ~np.isneginf(additive).any(
        axis=-1, keepdims=True
    )
    bias = np.where(hidden, np.float32(0), additive)
    return ~hidden | uniform, np.where(uniform, UNIFORM_ROW_BIAS, bias)


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """Reduce every axis along which nothing changes to length 1, for broadcasting."""
    for axis in range(array.ndim):
        first = array.take([0], axis=axis)
        if array.shape[axis] > 1 and (array == first).all():
            array = first
    return array


def factor_causal(visible: NDArray[np.bool_]) -> tuple[Causal, NDArray[np.bool_]]:
    """Split a mask (…, T, S) into a causal rule and a mask of keys hidden from all queries.

    The rule is "none" if the mask is not of this form. Most T by S masks are causal attention over
    padded sequences; in this form they take S numbers a sequence.
    """
    query_len, key_len = visible.shape[-2:]
    rules: dict[int, Causal] = {0: "top_left"}
    rules.setdefault(key_len - query_len, "bottom_right")
    keys: NDArray[np.bool_] = np.asarray(visible.any(axis=-2, keepdims=True))
    for offset, name in rules.items():
        triangle = np.tri(query_len, key_len, offset, dtype=np.bool_)
        if not triangle.all() and np.array_equal(visible, triangle & keys):
            return name, _drop_unreachable(keys, triangle)
    return "none", visible


def _drop_unreachable(keys: NDArray[np.bool_], triangle: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark keys that the triangle hides as visible, so that a causal call needs no mask."""
    return compact(keys | ~triangle.any(axis=-2))


def _combine(
    operation: np.ufunc, left: NDArray[Any] | None, right: NDArray[Any] | None
) -> NDArray[Any] | None:
    if left is None or right is None:
        return left if right is None else right
    return np.asarray(operation(left, right))
