"""What one attention call asks for, and its inputs: the same for every implementation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from attnpanel.masks import Align, MaskName, make_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 2**31 - 1  # far above any size, far below where a product of sizes is no number any more
DType = Literal["float64", "float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Request:
    """The shape, mask and options of one attention call, without its numbers.

    Computes ``softmax((scale * query @ key.T + bias) / temperature) @ value`` over the keys
    each query may see. Layout is (B, H, T, D).

    Attributes
    ----------
    batch, heads, kv_heads : int
        `heads` is a multiple of `kv_heads` (grouped-query attention).
    query_len, key_len : int
        T and S.
    head_dim, value_dim : int
        D and Dv.
    dtype : {"float64", "float32", "float16", "bfloat16"}
        Of the inputs and of the output.
    device : str
        The type of device, in torch's words: ``"cpu"``, ``"cuda"``, ``"xpu"``, ``"mps"``.
    mask : {"none", "padding", "key_padding", "causal", "window"}
    align : {"top_left", "bottom_right"}
        Where the diagonal of ``"causal"`` and ``"window"`` begins when T differs from S.
    pad_lens : tuple of int, optional
        Real tokens of each batch entry, for ``"padding"`` and ``"key_padding"``.
    window : int, optional
        For ``"window"``: keys at a distance below it are seen.
    bias : bool
        Whether a bias of shape (H, T, S) is added to the scores.
    scale : float, optional
        Multiplies ``query @ key.T``; None is ``head_dim ** -0.5``.
    temperature : float
        Divides scores and bias inside the softmax; positive.
    """

    batch: int
    heads: int
    kv_heads: int
    query_len: int
    key_len: int
    head_dim: int
    value_dim: int
    dtype: DType = "float32"
    device: str = "cpu"
    mask: MaskName = "none"
    align: Align = "top_left"
    pad_lens: tuple[int, ...] | None = None
    window: int | None = None
    bias: bool = False
    scale: float | None = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        sizes = {field.name: getattr(self, field.name) for field in fields(self)[:7]}
        if any(isinstance(size, bool) or not 1 <= size <= MOST for size in sizes.values()):
            raise ValueError(f"sizes must be integers from 1 to {MOST}; got {sizes}")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads; got {self.heads} and {self.kv_heads}"
            )
        if self.dtype not in get_args(DType):
            raise ValueError(f"dtype must be one of {get_args(DType)}; got {self.dtype!r}")
        if not (self.temperature > 0 and np.isfinite(self.temperature)):
            raise ValueError(f"temperature must be positive and finite; got {self.temperature}")
        if (self.pad_lens is not None) != (self.mask in {"padding", "key_padding"}):
            raise ValueError(
                "pad_lens go with the masks padding and key_padding, and only with them; "
                f"got mask {self.mask!r}, pad_lens {self.pad_lens}"
            )
        if self.pad_lens is not None and len(self.pad_lens) != self.batch:
            raise ValueError(
                f"pad_lens must hold one length for each of {self.batch} batch entries; "
                f"got {self.pad_lens}"
            )
        longest = max(self.query_len, self.key_len) if self.mask == "padding" else self.key_len
        if any(not 0 <= pad_len <= longest for pad_len in self.pad_lens or ()):
            raise ValueError(f"pad_lens must be from 0 to {longest}; got {self.pad_lens}")
        if self.window is not None and not 1 <= self.window <= MOST:
            raise ValueError(f"window must be from 1 to {MOST}; got {self.window}")
        if (self.window is not None) != (self.mask == "window"):
            raise ValueError(
                "window goes with the mask window, and only with it; "
                f"got mask {self.mask!r}, window {self.window}"
            )

    @property
    def score_scale(self) -> float:
        """What multiplies ``query @ key.T``: `scale`, or its default ``head_dim ** -0.5``."""
        return self.head_dim**-0.5 if self.scale is None else self.scale

    def visible(self) -> NDArray[np.bool_] | None:
        """Return the mask, True where a query may attend: (T, S) or (B, 1, T, S); None for none."""
        if self.mask == "none":
            return None
        masks = [
            make_mask(
                self.mask,
                self.query_len,
                self.key_len,
                pad_len=pad_len,
                window=self.window,
                align=self.align,
            )
            for pad_len in self.pad_lens or (None,)
        ]
        return masks[0] if self.pad_lens is None else np.stack(masks)[:, None]


@dataclass(frozen=True, eq=False)
class Inputs:
    """The numbers of one attention call, in NumPy, already rounded to the request's dtype.

    Attributes
    ----------
    query : float array of shape (B, H, T, D)
    key : float array of shape (B, Hkv, S, D)
    value : float array of shape (B, Hkv, S, Dv)
        In the request's dtype; bfloat16, which NumPy lacks, as float32 that holds bfloat16 values.
    mask : bool array broadcastable to (B, H, T, S), or None
        True where a query may attend: the request's :meth:`Request.visible`, or another.
    bias : float array of shape (H, T, S), or None
        In the dtype of the query.
    """

    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    mask: NDArray[np.bool_] | None
    bias: NDArray[np.floating] | None
