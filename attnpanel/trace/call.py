"""One attention call of one forward pass: its inputs, and any head's weights on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from attnpanel.attention.as_numpy import as_numpy
from attnpanel.attention.reference import Attention, attend
from attnpanel.attention.validation import (
    BOOLS,
    FLOATS,
    EmptyRows,
    check_array,
    check_choice,
    check_count,
    check_number,
    check_text,
)
from attnpanel.trace.call_shapes import (
    check_broadcasts,
    check_four_axes,
    check_query_key,
    check_sinks,
    checked_soft_cap,
)
from attnpanel.trace.indices import Chosen, is_one, one_index, several_indices
from attnpanel.trace.rotary import Rotary, check_rotary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.trace.head_outputs import HeadOutputs

Kind = Literal["self", "cross"]
Causal = Literal["none", "top_left", "bottom_right"]


@dataclass(frozen=True, eq=False, repr=False)
class AttentionCall:
    """One attention call of one forward pass.

    Arrays become read-only: a writeable one is copied, a read-only one is kept, so calls can share
    a mask. Either `query` and `key` are given, and weights are computed from them, or
    `recorded_weights`, if nothing else is known.

    Attributes
    ----------
    layer : str
        The qualified name of the module in the model.
    index : int
        Position of the call in the forward pass, from 0.
    kind : {"self", "cross"}
        Whether queries and keys come from the same tokens.
    query : float16 or float32 array of shape (B, H, T, D), or None
    key : float16 or float32 array of shape (B, Hkv, S, D), or None
        H is a multiple of Hkv; query head h reads key head ``h // (H // Hkv)``.
    value : float16 or float32 array of shape (B, Hkv, S, Dv), or None
    mask : bool array broadcastable to (B, H, T, S), or None
        True where a query may attend to a key.
    bias : float16 or float32 array broadcastable to (B, H, T, S), or None
        Added to the scores; -inf hides a key as the mask does.
    causal : {"none", "top_left", "bottom_right"}
        ``"top_left"``: query i sees the keys j <= i + q_offset.
        ``"bottom_right"``: query i sees the keys j <= i + S - T; `q_offset` is not used.
    scale : float
        Multiplies ``query @ key.T``, dimensionless. None or left out: ``1 / sqrt(D)``.
    q_offset : int
        Position of the first query among the keys, as with a key/value cache.
    soft_cap : float or None
        Positive: replaces ``product = scale * query @ key.T`` by
        ``soft_cap * tanh(product / soft_cap)``, before the bias, as in Gemma 2.
    sinks : float16 or float32 array of shape (H,), or None
        The score of each head's attention sink, a part of every row's softmax without a value,
        as in gpt-oss. A row of weights then sums to less than 1.
    recorded_weights : float16 or float32 array of shape (B, H, T, S), or None
        The model's own weights; nan where the model gave nan.
    rotary : Rotary or None
        Which channels were rotated together, where that is known; query and key are those after it.
    outputs : HeadOutputs or None
        What the heads write after the output projection, where a capture has recorded it.

    Raises
    ------
    ValueError
        If types or shapes disagree. The message has the rule and the values.
    """

    layer: str
    index: int
    kind: Kind = "self"
    query: NDArray[np.floating] | None = None
    key: NDArray[np.floating] | None = None
    value: NDArray[np.floating] | None = None
    mask: NDArray[np.bool_] | None = None
    bias: NDArray[np.floating] | None = None
    causal: Causal = "none"
    scale: float = None  # type: ignore[assignment]  # never None after __post_init__
    q_offset: int = 0
    soft_cap: float | None = None
    sinks: NDArray[np.floating] | None = None
    recorded_weights: NDArray[np.floating] | None = None
    rotary: Rotary | None = None
    outputs: HeadOutputs | None = None

    def __post_init__(self) -> None:
        check_text("layer", self.layer)
        check_count("index", self.index)
        check_count("q_offset", self.q_offset)
        check_choice("kind", self.kind, get_args(Kind))
        check_choice("causal", self.causal, get_args(Causal))
        for name in ("query", "key", "value", "bias", "sinks", "recorded_weights"):
            self._freeze(name, FLOATS)
        self._freeze("mask", BOOLS)
        self._check_shapes()
        # The field is typed float for readers; a caller may leave it at None.
        given = cast("float | None", self.scale)
        scale = (self.head_dim or 1) ** -0.5 if given is None else given
        check_number("scale", scale)
        object.__setattr__(self, "scale", float(scale))
        if self.soft_cap is not None:
            object.__setattr__(self, "soft_cap", checked_soft_cap(self.soft_cap))
        check_sinks(self.sinks, self.heads)
        if self.outputs is not None:
            self.outputs.check(self._pattern_shape())

    def __repr__(self) -> str:
        """Return name and sizes; the arrays would fill the screen."""
        return (
            f"AttentionCall({self.layer!r}, index={self.index}, kind={self.kind!r}, "
            f"B={self.batch}, H={self.heads}, Hkv={self.kv_heads}, "
            f"T={self.query_len}, S={self.key_len})"
        )

    @property
    def live(self) -> bool:
        """Whether scores and weights can be recomputed; False with recorded weights only."""
        return self.query is not None

    @property
    def batch(self) -> int:
        """B, the number of sequences."""
        return self._pattern_shape()[0]

    @property
    def heads(self) -> int:
        """H, the number of query heads."""
        return self._pattern_shape()[1]

    @property
    def kv_heads(self) -> int:
        """Hkv, the number of key/value heads; H if only recorded weights are known."""
        shared = self.key if self.key is not None else self.value
        return self.heads if shared is None else int(shared.shape[1])

    @property
    def query_len(self) -> int:
        """T, the number of query positions."""
        return self._pattern_shape()[2]

    @property
    def key_len(self) -> int:
        """S, the number of key positions."""
        return self._pattern_shape()[3]

    @property
    def head_dim(self) -> int | None:
        """D, the channels per head of query and key; None with recorded weights only."""
        return None if self.query is None else int(self.query.shape[3])

    @property
    def value_dim(self) -> int | None:
        """Dv, the channels per head of value; None without a value."""
        return None if self.value is None else int(self.value.shape[3])

    def visible(self, head: int, batch: int = 0) -> NDArray[np.bool_]:
        """Return which keys each query of one head may see: mask, causal rule and bias of -inf.

        Returns
        -------
        read-only bool array of shape (T, S)
        """
        head, batch = self._place(head, batch)
        visible = np.ones((self.query_len, self.key_len), dtype=np.bool_)
        if self.causal != "none":
            past = self.q_offset if self.causal == "top_left" else self.key_len - self.query_len
            visible &= np.arange(self.key_len) <= np.arange(self.query_len)[:, None] + past
        if self.mask is not None:
            visible &= self._pattern(self.mask, head, batch)
        if self.bias is not None:
            visible &= self._pattern(self.bias, head, batch) != -np.inf
        visible.flags.writeable = False
        return visible

    def scores(self, head: int, batch: int = 0) -> NDArray[np.float32]:
        """Return ``scale * query @ key.T + bias`` of one head, (T, S), before the mask.

        Neither mask nor temperature is applied; a soft cap is, before the bias.
        """
        return self.attention(head, batch).scores.astype(np.float32, copy=False)

    def attention(
        self,
        head: int,
        batch: int = 0,
        *,
        temperature: float = 1.0,
        mask: Literal["model"] | NDArray[np.bool_] | Tensor | None = "model",
        empty_rows: EmptyRows = "zero",
    ) -> Attention:
        """Compute every step of one head in float32.

        Parameters
        ----------
        head, batch : int
            Which query head of which sequence, from 0; -1 is the last.
        temperature : float, optional
            Divides the scores inside the softmax; 1 is the model's own, dimensionless.
        mask : "model", None or bool array or tensor of shape (T, S), optional
            ``"model"``: the model's own mask and causal rule. None: every pair is visible. An
            array replaces the model's mask and causal rule. Bias, soft cap and sinks apply in all
            three cases.
        empty_rows : {"zero", "uniform", "nan"}, optional
            The weights of a query that sees no key, as in :func:`attnpanel.attend`.

        Returns
        -------
        Attention
            ``scores`` and ``weights`` (T, S), ``logsumexp`` (T,) in nats, ``output`` (T, Dv)
            or None without a value.

        Raises
        ------
        ValueError
            If head or batch do not exist, an option breaks its rule, the inputs are not
            finite, or the call holds recorded weights only.
        """
        head, batch = self._place(head, batch)
        if self.query is None or self.key is None:
            raise ValueError(
                f"scores need query and key; call {self.index} (layer {self.layer!r}) holds "
                "recorded weights only"
            )
        shared = head // (self.heads // self.kv_heads)
        value = None if self.value is None else self.value[batch, shared].astype(np.float32)
        bias = None if self.bias is None else self._pattern(self.bias, head, batch)
        return attend(
            self.query[batch, head].astype(np.float32),
            self.key[batch, shared].astype(np.float32),
            value,
            mask=self._chosen_mask(mask, head, batch),
            bias=None if bias is None else bias.astype(np.float32),
            scale=self.scale,
            soft_cap=self.soft_cap,
            sinks=None if self.sinks is None else self.sinks[head],
            temperature=temperature,
            empty_rows=empty_rows,
        )

    def weights(
        self,
        head: Chosen | None = None,
        batch: Chosen | None = None,
        *,
        temperature: float = 1.0,
        mask: Literal["model"] | NDArray[np.bool_] | Tensor | None = "model",
        empty_rows: EmptyRows = "zero",
    ) -> NDArray[np.float32]:
        """Return softmax weights: of one head (T, S), of several, or of all (B, H, T, S).

        Recorded weights have temperature 1, the model's mask and the model's own empty rows;
        another temperature or mask raises ValueError.

        Parameters
        ----------
        head : int, slice or iterable of int, optional
            From 0; -1 is the last. An int removes the axis of heads from the result, a slice or an
            iterable keeps it. All by default.
        batch : int, slice or iterable of int, optional
            The same for sequences. By default sequence 0 if heads are chosen, else all.
        temperature, mask, empty_rows
            As for :meth:`attention`.

        Returns
        -------
        float32 array
            ``weights(2)`` (T, S), ``weights([2, 5])`` (2, T, S), ``weights(batch=1)`` (H, T, S),
            ``weights()`` (B, H, T, S).
        """
        if batch is None:
            batch = slice(None) if head is None else 0
        head = slice(None) if head is None else head
        heads = several_indices("head", head, self.heads)
        batches = several_indices("batch", batch, self.batch)
        options: dict[str, Any] = {
            "temperature": temperature,
            "mask": mask,
            "empty_rows": empty_rows,
        }
        if is_one(head) and is_one(batch):
            return self._weights_of(heads[0], batches[0], **options)
        shape = (len(batches), len(heads), self.query_len, self.key_len)
        weights = np.empty(shape, np.float32)
        for i, j in np.ndindex(shape[:2]):
            weights[i, j] = self._weights_of(heads[j], batches[i], **options)
        one_head = weights[:, 0] if is_one(head) else weights
        return one_head[0] if is_one(batch) else one_head

    def _weights_of(
        self, head: int, batch: int, *, temperature: float, mask: Any, empty_rows: EmptyRows
    ) -> NDArray[np.float32]:
        if self.live or self.recorded_weights is None:
            computed = self.attention(
                head, batch, temperature=temperature, mask=mask, empty_rows=empty_rows
            )
            return computed.weights.astype(np.float32, copy=False)
        if temperature != 1.0 or not isinstance(mask, str) or mask != "model":
            got = mask if mask is None or isinstance(mask, str) else "an array"
            raise ValueError(
                "recorded weights have temperature 1 and the model's mask; "
                f"got temperature {temperature!r} and mask {got!r}"
            )
        recorded: NDArray[np.float32] = self.recorded_weights[batch, head].astype(np.float32)
        return recorded

    def _chosen_mask(
        self, mask: Literal["model"] | NDArray[np.bool_] | Tensor | None, head: int, batch: int
    ) -> NDArray[np.bool_] | None:
        if mask is None:
            return None
        if isinstance(mask, str):
            check_choice("mask", mask, ("model",))
            return self.visible(head, batch)
        mask = as_numpy("mask", mask)
        check_array("mask", mask, BOOLS)
        if mask.shape != (self.query_len, self.key_len):
            raise ValueError(
                f"mask must have shape (T, S) = {(self.query_len, self.key_len)}; got {mask.shape}"
            )
        return mask

    def _pattern_shape(self) -> tuple[int, int, int, int]:
        """Return (B, H, T, S), the shape to which every mask and bias broadcasts."""
        if self.query is not None and self.key is not None:
            batch, heads, query_len, _ = self.query.shape
            return batch, heads, query_len, self.key.shape[2]
        if self.recorded_weights is None:
            raise ValueError("a call needs query and key, or recorded_weights; got neither")
        batch, heads, query_len, key_len = self.recorded_weights.shape
        return batch, heads, query_len, key_len

    def _pattern(self, array: NDArray[Any], head: int, batch: int) -> NDArray[Any]:
        one_head: NDArray[Any] = np.broadcast_to(array, self._pattern_shape())[batch, head]
        return one_head

    def _freeze(self, name: str, dtypes: tuple[np.dtype[Any], ...]) -> None:
        array = getattr(self, name)
        if array is None:
            return
        check_array(name, array, dtypes)
        if array.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
        object.__setattr__(self, name, array)

    def _check_shapes(self) -> None:
        if (self.query is None) != (self.key is None):
            got = "query alone" if self.key is None else "key alone"
            raise ValueError(f"query and key must be given together; got {got}")
        for name in ("query", "key", "value", "recorded_weights"):
            array = getattr(self, name)
            if array is not None:
                check_four_axes(name, array.shape)
        full = self._pattern_shape()
        if self.query is not None and self.key is not None:
            check_query_key(self.query.shape, self.key.shape)
        if self.value is not None:
            known = (self.batch, self.kv_heads, self.key_len)
            if self.value.shape[:3] != known or self.heads % self.kv_heads:
                raise ValueError(
                    f"value must have shape (B, Hkv, S, Dv) with B, S = {full[0]}, {full[3]} and "
                    f"Hkv that of the key, a divisor of H = {full[1]}; got {self.value.shape}"
                )
        if self.recorded_weights is not None and self.recorded_weights.shape != full:
            raise ValueError(
                f"recorded_weights must have shape (B, H, T, S) = {full}; "
                f"got {self.recorded_weights.shape}"
            )
        for name in ("mask", "bias"):
            array = getattr(self, name)
            if array is not None:
                check_broadcasts(name, array.shape, full)
        check_rotary(self.rotary, self.head_dim)

    def _place(self, head: int, batch: int) -> tuple[int, int]:
        return one_index("head", head, self.heads), one_index("batch", batch, self.batch)
