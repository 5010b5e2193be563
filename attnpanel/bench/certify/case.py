"""A case: an attention request and its random inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from attnpanel.attention.mask_table import find_mask
from attnpanel.bench.certify.rounding import round_to
from attnpanel.kernels.request import Direction, Inputs, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.attention.mask_table import MaskName, MaskValue

    Array = NDArray[np.float64]

# How the name of a case says what is computed besides the forward pass.
DIRECTIONS: Final[dict[Direction, str]] = {"backward": "backward", "both": "forward+backward"}
InputKind = Literal[
    "randn",
    "peaked",
    "outlier",
    "large",
    "huge",
    "positive",
    "ties",
    "tiny",
    "low",
    "wide",
    "vast",
    "zeros",
    "rising",
    "deep",
    "subnormal",
]


@dataclass(frozen=True)
class Case:
    """One attention call to certify or time.

    Attributes
    ----------
    request : Request
    kind : str
        One of `InputKind`: the distribution of the inputs; see :func:`make_inputs`.
    seed : int
    """

    request: Request
    kind: InputKind = "randn"
    seed: int = 0

    @property
    def name(self) -> str:
        """A unique, readable name: ``causal B1 H8 T1024 D64 float32 randn``."""
        request = self.request
        parts = [
            request.mask,
            request.align if request.align != "top_left" else "",
            "" if request.pad_lens is None else "pad " + ",".join(map(str, request.pad_lens)),
            "" if request.window is None else f"window {request.window}",
            *(format_option(name, value) for name, value in request.mask_options),
            f"B{request.batch}",
            f"H{request.heads}" + f"/{request.kv_heads}" * (request.kv_heads != request.heads),
            f"T{request.query_len}",
            f"S{request.key_len}" if request.key_len != request.query_len else "",
            f"D{request.head_dim}",
            f"Dv{request.value_dim}" if request.value_dim != request.head_dim else "",
            request.dtype,
            self.kind,
            "bias" if request.bias else "",
            "" if request.scale is None else f"scale {request.scale:g}",
            "" if request.temperature == 1 else f"temperature {request.temperature:g}",
            request.device if request.device != "cpu" else "",
            "" if request.direction == "forward" else DIRECTIONS[request.direction],
            f"seed {self.seed}" if self.seed else "",
        ]
        return " ".join(part for part in parts if part)


def format_option(name: str, value: MaskValue) -> str:
    """Format a parameter of a mask other than `pad_lens` and `window`: ``prefix_len 3``."""
    return f"{name} {','.join(map(str, value)) if isinstance(value, tuple) else value}"


def example_mask(
    kind: MaskName, query_len: int, key_len: int, batch: int = 1, *, window: int | None = None
) -> dict[str, Any]:
    """Return fields of a :class:`Request` with which a mask of this kind hides some keys.

    Parameters
    ----------
    kind : str
    query_len, key_len, batch : int
    window : int, optional
        Size of the window, for masks that have one; by default the example of the mask.
    """
    values = {
        parameter.name: parameter.example_at(query_len, key_len)
        for parameter in find_mask(kind).parameters
    }
    fields: dict[str, Any] = {"mask": kind}
    if "pad_len" in values:
        fields["pad_lens"] = (values.pop("pad_len"),) * batch
    if "window" in values:
        example = values.pop("window")
        fields["window"] = example if window is None else window
    return {**fields, "mask_options": tuple(values.items())}


def batch_mask(kind: MaskName, query_len: int, key_len: int, batch: int) -> dict[str, Any]:
    """Return the fields of `example_mask`, of a batch with one sequence that is not padded."""
    mask = example_mask(kind, query_len, key_len, batch)
    if mask.get("pad_lens") and batch > 1:
        mask["pad_lens"] = (*mask["pad_lens"][1:], key_len)
    return mask


def make_inputs(case: Case, rng: Any = None) -> Inputs:
    """Draw the inputs of a case: the same on every machine and, before rounding, in every dtype.

    - ``"randn"``: standard normal.
    - ``"peaked"``: each query points at one key, 24 nats above the others at scale
      ``1 / sqrt(D)``; some of those keys are masked.
    - ``"outlier"``: channel 0 of query and key is 8 times, one token's value 100 times the rest.
    - ``"large"``: query and key 8 times, value 100 times standard normal.
    - ``"huge"``: query and key 128 times: their products exceed 65504, the largest float16.
    - ``"positive"``: the absolute value of standard normal.
    - ``"ties"``: -1, 0 or 1; the first query is 0, and so are all scores of its row, each second
      key equals the one before, and the query is the key where they have one shape. The first
      channel of every key is 1.
    - ``"tiny"``: query and key standard normal over 1024, value over 2^80.
    - ``"low"``: 128 times its absolute value as query, -128 times as key: scores near -1e4 √D.
    - ``"wide"``: value 2^13 times standard normal, at most 65504, and the bias 16 times its usual.
    - ``"vast"``: query 2^40, key 2^-40, value 2^80 times standard normal, and 2^-80 in odd
      channels; not in float16.
    - ``"zeros"``: the values of the first key head are 0, and so are the last query and first key.

    - ``"rising"``: scores of even queries rise from key to key by factors, from 1e-6 to about 1: a
      maximum of a block is above the one before by any amount. Those of odd queries fall by 12.

    - ``"deep"``: every score is near -2^31 / √D, and all are equal; not in float16.
    - ``"subnormal"``: value over 2^16, query over 2^17: below the normal numbers of float16.

    A bias is twice standard normal. No kind is uniform in 0..1: near-equal weights are too easy.

    Parameters
    ----------
    case : Case
    rng : numpy.random.Generator or an object with its `standard_normal` and `integers`, optional
        Draws the numbers; by default NumPy's generator of the case's seed.

    Returns
    -------
    Inputs
        Rounded to the request's dtype, with the request's mask.
    """
    request = case.request
    rng = np.random.default_rng(case.seed) if rng is None else rng
    batch, heads, kv_heads = request.batch, request.heads, request.kv_heads
    query = rng.standard_normal((batch, heads, request.query_len, request.head_dim))
    key = rng.standard_normal((batch, kv_heads, request.key_len, request.head_dim))
    value = rng.standard_normal((batch, kv_heads, request.key_len, request.value_dim))
    bias = None
    if request.bias:
        drawn = 2 * rng.standard_normal((heads, request.query_len, request.key_len))
        drawn *= 16 if case.kind == "wide" else 1
        bias = round_to(drawn, request.dtype)
    query, key, value = _of_kind(case.kind, rng, query, key, value)
    return Inputs(
        query=round_to(query, request.dtype),
        key=round_to(key, request.dtype),
        value=round_to(value, request.dtype),
        mask=request.visible(),
        bias=bias,
    )


def _of_kind(  # noqa: C901 - one kind a branch
    kind: InputKind, rng: Any, query: Array, key: Array, value: Array
) -> tuple[Array, Array, Array]:
    """Return inputs of a kind from standard normal ones, which may be written to."""
    match kind:
        case "randn":
            pass
        case "peaked":
            target = rng.integers(key.shape[2], size=(*query.shape[:3], 1))
            pointed_at = np.take_along_axis(
                np.repeat(key, query.shape[1] // key.shape[1], axis=1), target, axis=2
            )
            query = 0.5 * query + 24 / np.sqrt(query.shape[3]) * pointed_at
        case "outlier":
            query[..., 0] *= 8
            key[..., 0] *= 8
            value[..., key.shape[2] // 2, :] *= 100
        case "large":
            query, key, value = 8 * query, 8 * key, 100 * value
        case "huge":
            query, key = 128 * query, 128 * key
        case "positive":
            query, key, value = np.abs(query), np.abs(key), np.abs(value)
        case "ties":
            query, key, value = np.sign(np.rint(query)), np.sign(np.rint(key)), np.rint(value)
            key[:, :, 1::2] = key[:, :, : key.shape[2] // 2 * 2 : 2]
            query = key.copy() if query.shape == key.shape else query
            query[:, :, 0] = 0
            key[..., 0] = 1
        case "tiny":
            query, key, value = query / 1024, key / 1024, value / 2**80
        case "low":
            query, key = 128 * np.abs(query), -128 * np.abs(key)
        case "wide":
            value = np.clip(2.0**13 * value, -65504, 65504)
        case "vast":
            query, key, value = query * 2.0**40, key / 2.0**40, value * 2.0**80
            value[..., 1::2] /= 2.0**160
        case "zeros":
            query[:, :, -1] = 0
            key[:, :, 0] = 0
            value[:, 0] = 0
        case "rising":
            factor = np.sqrt(query.shape[3]) * (0.5 + np.abs(query[..., 0]))
            query[...] = 0
            query[:, :, ::2, 0], query[:, :, 1::2, -1] = factor[:, :, ::2], factor[:, :, 1::2]
            key[..., 0] = np.logspace(-6, 0, key.shape[2])
            key[..., -1] = np.linspace(0, -12, key.shape[2])
        case "deep":
            query[...], key[...] = 0, 0
            query[..., 0], key[..., 0] = 2.0**16, -(2.0**15)
        case "subnormal":
            query, value = query / 2**17, value / 2**16
    return query, key, value
