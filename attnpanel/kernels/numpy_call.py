"""One attention call as the NumPy kernels compute it: in its working type, head by head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

# float16 is stored as such and computed in float32: NumPy's own float16 is 100 times slower.
NUMPY_DTYPES: tuple[DType, ...] = ("float64", "float32", "float16")


@dataclass(frozen=True, eq=False)
class Head:
    """What one query head of one batch entry computes; S and D are those of its key head.

    Attributes
    ----------
    index : tuple of int
        Batch entry and query head.
    query : float array of shape (T, D)
    key : float array of shape (S, D)
    value : float array of shape (S, Dv)
    mask : bool array of shape (T, S), or None
    mask_index : tuple of int
        The same for heads that share one mask.
    bias : float array of shape (T, S), or None
    """

    index: tuple[int, int]
    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    mask: NDArray[np.bool_] | None
    mask_index: tuple[int, int]
    bias: NDArray[np.floating] | None


@dataclass(frozen=True, eq=False)
class NumpyCall:
    """The inputs of a call, converted once.

    Attributes
    ----------
    query : float array of shape (B, H, T, D)
    key : float array of shape (B, Hkv, S, D)
    value : float array of shape (B, Hkv, S, Dv)
        C-contiguous, float64 or float32.
    mask : bool array of shape (B or 1, H or 1, T, S), or None
        A view of the given one.
    bias : float array of shape (H, T, S), or None
    scale, temperature : float
    stored : dtype
        Of the results.
    """

    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    mask: NDArray[np.bool_] | None
    bias: NDArray[np.floating] | None
    scale: float
    temperature: float
    stored: np.dtype[np.floating]

    @classmethod
    def of(cls, inputs: Inputs, request: Request) -> NumpyCall:
        """The inputs in the type they are computed in, copied only where they are in another."""
        working = np.float64 if request.dtype == "float64" else np.float32
        sizes = (inputs.query.shape[2], inputs.key.shape[2])
        return cls(
            query=np.ascontiguousarray(inputs.query, working),
            key=np.ascontiguousarray(inputs.key, working),
            value=np.ascontiguousarray(inputs.value, working),
            mask=None if inputs.mask is None else _four_axes(inputs.mask, *sizes),
            bias=None if inputs.bias is None else np.ascontiguousarray(inputs.bias, working),
            scale=request.score_scale,
            temperature=request.temperature,
            stored=np.dtype(request.dtype),
        )

    @property
    def groups(self) -> int:
        """Query heads that share one key head."""
        return int(self.query.shape[1] // self.key.shape[1])

    def heads(self) -> Iterator[Head]:
        """Every query head of every batch entry, as views."""
        for b, h in np.ndindex(self.query.shape[:2]):
            kv = h // self.groups
            masks = (1, 1) if self.mask is None else self.mask.shape[:2]
            m = (b % masks[0], h % masks[1])
            yield Head(
                index=(b, h),
                query=self.query[b, h],
                key=self.key[b, kv],
                value=self.value[b, kv],
                mask=None if self.mask is None else self.mask[m],
                mask_index=m,
                bias=None if self.bias is None else self.bias[h],
            )

    def new_results(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Room for output (B, H, T, Dv) and logsumexp (B, H, T), in the working type."""
        shape, working = self.query.shape[:3], self.query.dtype
        return np.empty((*shape, self.value.shape[3]), working), np.empty(shape, working)


def _four_axes(mask: NDArray[np.bool_], query_len: int, key_len: int) -> NDArray[np.bool_]:
    full = mask[(None,) * (4 - mask.ndim)]
    return np.broadcast_to(full, (*full.shape[:2], query_len, key_len))
