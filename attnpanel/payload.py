"""A trace as data for the browser: what `trace_data.js` opens.

One JSON document and one compressed text per call, so that a page decodes a layer when it is
first shown.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.selection import value_colours
from attnpanel.theme import DARK, LIGHT, ramp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from attnpanel.theme import Theme
    from attnpanel.trace import AttentionCall, Trace

SCHEMA = "attnpanel.payload/1"
# With "auto", values go in while everything fits this many bytes; else their colours do.
AUTO_VALUE_BYTES = 8_000_000
# Projections of values to colours that a page can choose from: seeds 0 to 19.
SEEDS = 20
# The arrays whose numbers are stored as narrow as asked.
MEASURED = ("query", "key", "value", "recorded")
Values = Literal["auto"] | bool


@dataclass(frozen=True)
class Payload:
    """What a page needs of a trace.

    Attributes
    ----------
    meta : dict
        Plain JSON: shapes, tokens, provenance, colours of both looks, what was left out.
    calls : list of str
        Each call's arrays, compressed, as base64 text.
    """

    meta: dict[str, Any]
    calls: list[str]


def make_payload(
    trace: Trace,
    *,
    dtype: Literal["float16", "float32"] = "float16",
    values: Values = "auto",
    color_seed: int = 0,
) -> Payload:
    """Pack a trace for the browser.

    Parameters
    ----------
    trace : Trace
    dtype : {"float16", "float32"}, optional
        How query, key and value are stored. A call with a number beyond float16's range is
        stored as float32 whatever is asked, and the page says so.
    values : "auto" or bool, optional
        Whether values go in. Without them the mix is left out and colours are fixed to
        `color_seed`. "auto" keeps them while all arrays fit 8 MB.
    color_seed : int, optional
        The seed of the colours where values are left out.

    Returns
    -------
    Payload
    """
    width = 2 if dtype == "float16" else 4
    total = sum(
        array.size * width
        for call in trace.calls
        for array in (call.query, call.key, call.value)
        if array is not None
    )
    keep = total <= AUTO_VALUE_BYTES if values == "auto" else values
    packed = [_pack(call, dtype, keep, color_seed) for call in trace.calls]
    projections = make_projections(trace, range(SEEDS)) if keep else {}
    meta = _meta(trace, [fields for fields, _ in packed], projections, color_seed)
    return Payload(meta | {"seeds": SEEDS}, [blob for _, blob in packed])


def describe(trace: Trace, *, color_seed: int = 0) -> dict[str, Any]:
    """Return a :class:`Payload`'s `meta` alone, for a page that is handed layers as it asks.

    Numbers stay as the trace holds them: its arrays follow by :func:`pack_layer`, further paint
    seeds by :func:`make_projections`.
    """
    calls = [_fields(call, _held(call)) for call in trace.calls]
    return _meta(trace, calls, make_projections(trace, [color_seed]), color_seed)


def pack_layer(call: AttentionCall) -> bytes:
    """Return a call's arrays as :func:`describe` lists them, not compressed."""
    return b"".join(_shuffle(array) for array in _held(call).values())


def _meta(
    trace: Trace, calls: list[dict[str, Any]], projections: dict[str, Any], color_seed: int
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "source": trace.source,
        "model": trace.model,
        "created": trace.created,
        "queryTokens": [list(row) for row in trace.query_tokens],
        "keyTokens": [list(row) for row in trace.key_tokens],
        "labels": [_labels(trace, call) for call in trace.calls],
        "calls": [
            fields | {"number": number, "headNumbers": list(trace.head_numbers(call))}
            for fields, number, call in zip(calls, trace.layer_numbers, trace.calls, strict=True)
        ],
        "layerCount": trace.chosen.layer_count if trace.chosen else len(calls),
        "headCount": trace.chosen.head_count if trace.chosen and trace.chosen.heads else None,
        "projections": projections,
        "colorSeed": color_seed,
        "palettes": {"light": _palettes(LIGHT), "dark": _palettes(DARK)},
        "looks": {"light": _look(LIGHT), "dark": _look(DARK)},
    }


def _pack(
    call: AttentionCall,
    dtype: str,
    keep: bool,  # noqa: FBT001 - a plain switch
    seed: int,
) -> tuple[dict[str, Any], str]:
    arrays = _held(call)
    if not keep:
        arrays.pop("value", None)
    stored = dtype
    if any(_overflows(arrays[name]) for name in MEASURED if name in arrays):
        stored = "float32"
    for name in MEASURED:
        if name in arrays:
            arrays[name] = arrays[name].astype(stored)
    if call.value is not None and "value" not in arrays:
        arrays["colours"] = np.stack(
            [
                np.stack([_paints(call, head, batch, seed) for head in range(call.heads)])
                for batch in range(call.batch)
            ]
        )
    body = bytearray()
    for array in arrays.values():
        body += _shuffle(array)
    return (
        _fields(call, arrays),
        base64.b64encode(zlib.compress(bytes(body), 1)).decode("ascii"),
    )


def _held(call: AttentionCall) -> dict[str, NDArray[Any]]:
    """The arrays a page computes from, as the call holds them."""
    arrays: dict[str, NDArray[Any]] = {}
    if call.query is not None and call.key is not None:
        arrays |= {"query": call.query, "key": call.key}
        if call.value is not None:
            arrays["value"] = call.value
    elif call.recorded_weights is not None:
        arrays["recorded"] = call.recorded_weights
    if call.mask is not None:
        arrays["mask"] = call.mask
    if call.bias is not None:
        arrays["bias"] = call.bias.astype(np.float32, copy=False)
    return arrays


def _fields(call: AttentionCall, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """What `trace_data.js` reads of a call before its arrays."""
    stored = next(str(arrays[name].dtype) for name in MEASURED if name in arrays)
    return {
        "layer": call.layer,
        "index": call.index,
        "kind": call.kind,
        "B": call.batch,
        "H": call.heads,
        "Hkv": call.kv_heads,
        "T": call.query_len,
        "S": call.key_len,
        "D": call.head_dim,
        "Dv": call.value_dim if "value" in arrays else None,
        "live": call.live,
        "hasValue": "value" in arrays,
        "hasColours": "value" in arrays or "colours" in arrays,
        "causal": call.causal,
        "qOffset": call.q_offset,
        "scale": call.scale,
        "usualScale": bool(
            call.head_dim is not None and np.isclose(call.scale, call.head_dim**-0.5)
        ),
        "hasBias": call.bias is not None,
        "softCap": call.soft_cap,
        "sinks": None if call.sinks is None else [float(sink) for sink in call.sinks],
        "dtype": stored if call.live else "recorded weights",
        "arrays": [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in arrays.items()
        ],
    }


def _paints(call: AttentionCall, head: int, batch: int, seed: int) -> NDArray[np.float16]:
    colours = value_colours(call, head, batch, seed=seed)
    assert colours is not None  # noqa: S101 - the caller has seen a value
    return colours.astype(np.float16)


def _overflows(array: NDArray[Any]) -> bool:
    return array.dtype != np.float16 and bool(np.abs(array).max() > np.finfo(np.float16).max)


def _shuffle(array: NDArray[Any]) -> bytes:
    """First bytes of all numbers, then second bytes, …: 7 % smaller when compressed."""
    raw = np.ascontiguousarray(array)
    return raw.reshape(-1).view(np.uint8).reshape(-1, raw.itemsize).T.tobytes()


def make_projections(trace: Trace, seeds: Iterable[int]) -> dict[str, dict[str, list[float]]]:
    """Each value width's projections to colours by seed, as `rgb_from_values` draws them."""
    widths = {call.value_dim for call in trace.calls if call.value_dim is not None}
    return {
        str(width): {
            str(seed): [
                float(f"{x:.9g}") for x in np.random.default_rng(seed).standard_normal(width * 3)
            ]
            for seed in seeds
        }
        for width in sorted(widths)
    }


def _labels(trace: Trace, call: AttentionCall) -> list[list[list[str]] | None]:
    """Each batch entry's [query tokens, key tokens]; None where they are the trace's own row."""
    rows: list[list[list[str]] | None] = []
    for batch in range(call.batch):
        queries, keys = trace.tokens_of(call, batch)
        known = trace.query_tokens[batch] if batch < len(trace.query_tokens) else None
        rows.append(None if queries == keys == known else [list(queries), list(keys)])
    return rows


def _palettes(look: Theme) -> dict[str, Any]:
    powers = ("0.4", "0.5", "1")
    return {
        "sequential": {power: ramp(look.sequential, power=float(power)) for power in powers},
        "diverging": ramp(look.diverging),
    }


def _look(look: Theme) -> dict[str, str]:
    names = ("card", "ink", "muted", "line", "accent", "soft", "masked", "hatch", "bar")
    return {name: getattr(look, name) for name in names}
