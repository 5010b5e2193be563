"""A trace serialized for the browser, where `js/core/trace_data.js` opens it.

One JSON document and one compressed text per call, so that a page decodes a layer when it is
first shown.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnpanel.attention.mask_table import masks_for_page
from attnpanel.explorer.address import address_for_page
from attnpanel.explorer.picture_for_page import picture_for_page
from attnpanel.explorer.selection import value_colours
from attnpanel.explorer.views.table import views_for_page
from attnpanel.explorer.weight_scales import WEIGHT_SCALES, power_name, scales_for_page
from attnpanel.trace.computable import not_finite
from attnpanel.trace.head_outputs import index_of
from attnpanel.ui.theme import DARK, HEAD_COLOURS, LIGHT, ramp
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from attnpanel.trace import AttentionCall, Trace
    from attnpanel.ui.theme import Theme

SCHEMA = "attnpanel.payload/1"
# With values="auto", values are included up to this size in bytes, otherwise their colours.
AUTO_VALUE_BYTES = 8_000_000
# Number of projections of values to colours in a report: seeds 0 to 19.
SEEDS = 20
# The arrays that are stored in the requested dtype.
MEASURED = ("query", "key", "value", "recorded")
Values = Literal["auto"] | bool


@dataclass(frozen=True)
class Payload:
    """A serialized trace.

    Attributes
    ----------
    meta : dict
        JSON-compatible: shapes, tokens, provenance, colours of both themes, what is omitted.
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
        stored as float32 in any case, and the page says so.
    values : "auto" or bool, optional
        Whether to include values. Without them there is no output, and colours are fixed to
        `color_seed`. "auto" includes them while all arrays fit 8 MB.
    color_seed : int, optional
        The seed of the colours if values are omitted.

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
    return Payload(meta | {"seeds": SEEDS, "embedded": True}, [blob for _, blob in packed])


def describe(trace: Trace, *, color_seed: int = 0) -> dict[str, Any]:
    """Return the `meta` of a :class:`Payload` alone, for a page that requests layers.

    Arrays keep their dtype and follow by :func:`pack_layer`, projections of further seeds by
    :func:`make_projections`.
    """
    calls = [_fields(call, _held(call)) for call in trace.calls]
    return _meta(trace, calls, make_projections(trace, [color_seed]), color_seed)


def pack_layer(call: AttentionCall) -> bytes:
    """Return the bytes of a call's arrays in the order of :func:`describe`, uncompressed."""
    return b"".join(_shuffle(array) for array in _held(call).values())


def pack_layer_as_text(call: AttentionCall) -> str:
    """Return :func:`pack_layer`'s bytes compressed, as base64 text."""
    return _as_text(_held(call))


def _meta(
    trace: Trace, calls: list[dict[str, Any]], projections: dict[str, Any], color_seed: int
) -> dict[str, Any]:
    vocabularies: list[tuple[str, ...]] = []
    for call, fields in zip(trace.calls, calls, strict=True):
        if call.outputs is not None and call.outputs.vocabulary:
            fields["outputs"]["vocabulary"] = index_of(call.outputs.vocabulary, vocabularies)
    return {
        "schema": SCHEMA,
        "vocabularies": [list(names) for names in vocabularies],
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
        # Which layers a capture left out, in words; empty if none.
        "leftOut": str(trace.coverage) if trace.coverage and trace.coverage.left_out else "",
        "layerCount": trace.subset.layer_count if trace.subset else len(calls),
        "headCount": trace.subset.head_count if trace.subset and trace.subset.heads else None,
        "masks": {name: _in_words(rows, "label") for name, rows in masks_for_page().items()},
        "views": _in_words(views_for_page(), "title"),
        "scales": _in_words(scales_for_page(), "label", "caption"),
        "address": _in_words(address_for_page(), "label"),
        "picture": picture_for_page(trace.picture),
        "projections": projections,
        "colorSeed": color_seed,
        "origins": [list(row) for row in trace.origins.texts] if trace.origins else [],
        "unknownToken": trace.origins.unknown if trace.origins else "",
        "headColours": list(HEAD_COLOURS),
        "palettes": {"light": _palettes(LIGHT), "dark": _palettes(DARK)},
        "themes": {"light": _plot_colours(LIGHT), "dark": _plot_colours(DARK)},
    }


def _in_words(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Return rows of a table with their texts in the current language."""
    return [row | {name: t(row[name]) for name in names} for row in rows]


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
    return _fields(call, arrays), _as_text(arrays)


def _as_text(arrays: dict[str, NDArray[Any]]) -> str:
    body = b"".join(_shuffle(array) for array in arrays.values())
    return base64.b64encode(zlib.compress(body, 1)).decode("ascii")


def _held(call: AttentionCall) -> dict[str, NDArray[Any]]:
    """Return the arrays that a page computes from, in their own dtype."""
    arrays: dict[str, NDArray[Any]] = {}
    if call.query is not None and call.key is not None:
        arrays |= {"query": call.query, "key": call.key}
        if call.value is not None:
            arrays["value"] = call.value
    elif call.recorded_weights is not None:
        arrays["recorded"] = call.recorded_weights
    if call.outputs is not None:
        arrays |= {f"outputs.{name}": array for name, array in call.outputs.arrays.items()}
    if call.mask is not None:
        arrays["mask"] = call.mask
    if call.bias is not None:
        arrays["bias"] = call.bias.astype(np.float32, copy=False)
    return arrays


def _fields(call: AttentionCall, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Return the description of a call and of its arrays."""
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
        "notFinite": list(not_finite(call)),
        "softCap": call.soft_cap,
        "rotary": None if call.rotary is None else list(astuple(call.rotary)),
        "outputs": None if call.outputs is None else {"missing": call.outputs.missing},
        "sinks": None if call.sinks is None else [float(sink) for sink in call.sinks],
        "dtype": stored if call.live else "recorded weights",
        "arrays": [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in arrays.items()
        ],
    }


def _paints(call: AttentionCall, head: int, batch: int, seed: int) -> NDArray[np.float16]:
    colours = value_colours(call, head, batch, seed=seed)
    assert colours is not None  # noqa: S101 - the caller checked that there are values
    return colours.astype(np.float16)


def _overflows(array: NDArray[Any]) -> bool:
    return array.dtype != np.float16 and bool(np.abs(array).max() > np.finfo(np.float16).max)


def _shuffle(array: NDArray[Any]) -> bytes:
    """Shuffle bytes: first bytes of all numbers, then second bytes, …; compresses 7 % smaller."""
    raw = np.ascontiguousarray(array)
    return raw.reshape(-1).view(np.uint8).reshape(-1, raw.itemsize).T.tobytes()


def make_projections(trace: Trace, seeds: Iterable[int]) -> dict[str, dict[str, list[float]]]:
    """Return projections to colours by value dimension and seed, see `rgb_from_values`."""
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
    """Return [query tokens, key tokens] of each batch entry; None if they are the trace's own."""
    rows: list[list[list[str]] | None] = []
    for batch in range(call.batch):
        queries, keys = trace.tokens_of(call, batch)
        known = trace.query_tokens[batch] if batch < len(trace.query_tokens) else None
        rows.append(None if queries == keys == known else [list(queries), list(keys)])
    return rows


def _palettes(theme: Theme) -> dict[str, Any]:
    powers = sorted({row.power for row in WEIGHT_SCALES})
    return {
        "sequential": {power_name(power): ramp(theme.sequential, power=power) for power in powers},
        "diverging": ramp(theme.diverging),
    }


def _plot_colours(theme: Theme) -> dict[str, str]:
    names = ("card", "ink", "muted", "line", "accent", "soft", "masked", "hatch", "bar")
    return {name: getattr(theme, name) for name in names}
