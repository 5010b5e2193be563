"""One attention call, independent of the implementation: its request and its inputs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from attnpanel.attention.mask_table import MaskName, MaskValue, find_mask
from attnpanel.attention.masks import Align, VisibleKeys, visible_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SIZE = 2**31 - 1  # far above any size; products of sizes stay within float64
DType = Literal["float64", "float32", "float16", "bfloat16"]
# What of a call is computed: the attention, its gradients from what was kept, or both in turn.
Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True)
class Request:
    """Shape, mask and options of one attention call, without its arrays.

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
        Dtype of the inputs and of the output.
    device : str
        Type of device by torch's name: ``"cpu"``, ``"cuda"``, ``"xpu"``, ``"mps"``.
    mask : str
        A kind of :data:`attnpanel.attention.mask_table.MASKS`.
    align : {"top_left", "bottom_right"}
        Where the diagonal of a mask such as ``"causal"`` begins if T differs from S.
    pad_lens : tuple of int, optional
        For masks with `pad_len`: the number of real tokens of each batch entry.
    window : int, optional
        For masks with `window`: a query sees keys at a smaller distance.
    bias : bool
        Whether a bias of shape (H, T, S) is added to the scores.
    scale : float, optional
        Multiplies ``query @ key.T``; None is ``head_dim ** -0.5``.
    temperature : float
        Divides scores and bias inside the softmax; positive.
    mask_options : tuple of (str, int or tuple of int)
        Further parameters of the mask, by name.
    direction : {"forward", "backward", "both"}
        What is computed: the attention, its gradients after it, or both.
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
    mask_options: tuple[tuple[str, MaskValue], ...] = ()
    direction: Direction = "forward"

    def __post_init__(self) -> None:
        sizes = {field.name: getattr(self, field.name) for field in fields(self)[:7]}
        if any(isinstance(size, bool) or not 1 <= size <= MAX_SIZE for size in sizes.values()):
            raise ValueError(f"sizes must be integers from 1 to {MAX_SIZE}; got {sizes}")
        if self.heads % self.kv_heads:
            raise ValueError(
                f"heads must be a multiple of kv_heads; got {self.heads} and {self.kv_heads}"
            )
        if self.dtype not in get_args(DType):
            raise ValueError(f"dtype must be one of {get_args(DType)}; got {self.dtype!r}")
        if self.direction not in get_args(Direction):
            raise ValueError(
                f"direction must be one of {get_args(Direction)}; got {self.direction!r}"
            )
        if not (self.temperature > 0 and np.isfinite(self.temperature)):
            raise ValueError(f"temperature must be positive and finite; got {self.temperature}")
        self._check_mask()

    def _check_mask(self) -> None:
        if self.pad_lens is not None and len(self.pad_lens) != self.batch:
            raise ValueError(
                f"pad_lens must hold one length for each of {self.batch} batch entries; "
                f"got {self.pad_lens}"
            )
        if self.window is not None and not 1 <= self.window <= MAX_SIZE:
            raise ValueError(f"window must be from 1 to {MAX_SIZE}; got {self.window}")
        needs, given = find_mask(self.mask).needs, self._mask_parameters(0)
        if set(needs) != set(given):
            raise ValueError(
                f"mask {self.mask!r} needs {', '.join(needs) or 'no parameter'}, as pad_lens, "
                f"window or in mask_options; got {', '.join(given) or 'none'}"
            )
        for entry in range(len(self.pad_lens or (0,))):
            self.visible_keys(entry)

    def _mask_parameters(self, entry: int) -> dict[str, MaskValue]:
        named: dict[str, MaskValue] = {}
        if self.pad_lens is not None:
            named["pad_len"] = self.pad_lens[entry]
        if self.window is not None:
            named["window"] = self.window
        return named | dict(self.mask_options)

    def visible_keys(self, entry: int = 0) -> VisibleKeys:
        """Return the rule by which the queries of one batch entry see keys."""
        return visible_keys(
            self.mask,
            self.query_len,
            self.key_len,
            align=self.align,
            **self._mask_parameters(entry),
        )

    def shortened(self, query_len: int, key_len: int) -> Request:
        """Return the request at shorter lengths, with what its mask needs cut to them."""
        rows = {row.name: row for row in find_mask(self.mask).parameters}

        def cut(name: str, value: MaskValue) -> Any:
            return rows[name].cut(value, query_len, key_len)

        return replace(
            self,
            query_len=query_len,
            key_len=key_len,
            pad_lens=self.pad_lens and tuple(cut("pad_len", one) for one in self.pad_lens),
            mask_options=tuple((name, cut(name, value)) for name, value in self.mask_options),
        )

    @property
    def rules(self) -> tuple[VisibleKeys, ...]:
        """The rule of each batch entry, or one that they share."""
        return tuple(self.visible_keys(entry) for entry in range(len(self.pad_lens or (0,))))

    @property
    def score_scale(self) -> float:
        """Factor of ``query @ key.T``: `scale`, or its default ``head_dim ** -0.5``."""
        return self.head_dim**-0.5 if self.scale is None else self.scale

    def visible(self) -> NDArray[np.bool_] | None:
        """Return the mask, True where a query may attend: (T, S) or (B, 1, T, S); None for none."""
        if self.mask == "none":
            return None
        masks = [rule.mask() for rule in self.rules]
        return masks[0] if self.pad_lens is None else np.stack(masks)[:, None]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Arrays of one attention call, in NumPy, already rounded to the request's dtype.

    Attributes
    ----------
    query : float array of shape (B, H, T, D)
    key : float array of shape (B, Hkv, S, D)
    value : float array of shape (B, Hkv, S, Dv)
        In the request's dtype; bfloat16 values are stored as float32, since NumPy lacks bfloat16.
    mask : bool array broadcastable to (B, H, T, S), or None
        True where a query may attend: the request's :meth:`Request.visible`, or another mask.
    bias : float array of shape (H, T, S), or None
        In the query's dtype.
    """

    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    mask: NDArray[np.bool_] | None
    bias: NDArray[np.floating] | None
