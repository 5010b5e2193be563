"""One attention call as the NumPy kernels compute it: converted once, head by head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

# float16 is computed in float32: NumPy's own float16 arithmetic is 100 times slower.
NUMPY_DTYPES: tuple[DType, ...] = ("float64", "float32", "float16")
# Those that need no conversion, so that a prepared call reads the arrays it was given.
UNCONVERTED: frozenset[DType] = frozenset({"float64", "float32"})


@dataclass(frozen=True, eq=False)
class Head:
    """Inputs of one query head of one batch entry, with its key head's keys and values.

    Attributes
    ----------
    index : tuple of int
        Batch entry and query head.
    query : float array of shape (T, D)
    key : float array of shape (S, D)
    value : float array of shape (S, Dv)
    mask : bool array of shape (T, S), or None
    mask_index : tuple of int
        Equal for heads that share a mask.
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
    """The inputs of a call in the dtype they are computed in.

    Attributes
    ----------
    query : float array of shape (B, H, T, D)
    key : float array of shape (B, Hkv, S, D)
    value : float array of shape (B, Hkv, S, Dv)
        C-contiguous, float64 or float32.
    mask : bool array of shape (B or 1, H or 1, T, S), or None
        A view of the given mask.
    bias : float array of shape (H, T, S), or None
    scale, temperature : float
    stored : dtype
        Dtype of the results.
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
        """Convert inputs to the dtype they are computed in; copies only what has another dtype."""
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
            stored=storage_dtype(request.dtype),
        )

    @property
    def groups(self) -> int:
        """Number of query heads per key head."""
        return int(self.query.shape[1] // self.key.shape[1])

    def heads(self) -> Iterator[Head]:
        """Yield every query head of every batch entry, as views."""
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
        """Allocate output (B, H, T, Dv) and logsumexp (B, H, T) in the working dtype."""
        shape, working = self.query.shape[:3], self.query.dtype
        return np.empty((*shape, self.value.shape[3]), working), np.empty(shape, working)


def _four_axes(mask: NDArray[np.bool_], query_len: int, key_len: int) -> NDArray[np.bool_]:
    full = mask[(None,) * (4 - mask.ndim)]
    return np.broadcast_to(full, (*full.shape[:2], query_len, key_len))


def storage_dtype(dtype: DType) -> np.dtype[np.floating]:
    """Return the NumPy dtype of this name; bfloat16 is that of the package ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    import ml_dtypes

    stored: np.dtype[np.floating] = np.dtype(ml_dtypes.bfloat16)
    return stored
