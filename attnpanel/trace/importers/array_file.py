"""Files of named arrays: npz and safetensors with the keys of docs/importing.md.

Of each layer ``<layer>.query``, ``.key``, ``.value``, ``.mask``, ``.bias``, ``.sinks`` or
``.weights``, and its settings ``<layer>.scale``, ``.soft_cap``, ``.causal``, ``.window``. Of the
file ``tokens``, ``key_tokens``, ``model``, ``layout``, and those settings for all layers. The same
names without a layer are a file of one layer.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, deserialize

from attnpanel.trace.file_header import MAX_FILE_BYTES
from attnpanel.trace.trace import Trace, TraceFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

ARRAYS = ("query", "key", "value", "mask", "bias", "sinks", "weights")
SETTINGS = ("scale", "soft_cap", "causal", "window")
OF_THE_FILE = ("tokens", "key_tokens", "model", "layout")
_NUMPY_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "BOOL": "?",
    "I64": "<i8",
    "I32": "<i4",
}


def is_npz(source: Any) -> bool:
    """Whether it is the path or the content of an npz file."""
    return _starts_with(source, b"PK") or _named(source, ".npz")


def is_safetensors(source: Any) -> bool:
    """Whether it is the path or the content of a safetensors file."""
    return _named(source, ".safetensors") or (isinstance(source, bytes) and source[8:9] == b"{")


def read_npz(source: Any, tokens: Any = (), **options: Any) -> Trace:
    """Read an npz file; nothing in it is executed.

    Raises
    ------
    TraceFileError
        If it is no readable npz file, holds pickled objects, or lacks the keys.
    """
    return _read(source, tokens, options, _open_npz)


def read_safetensors(source: Any, tokens: Any = (), **options: Any) -> Trace:
    """Read a safetensors file; its metadata has the tokens (JSON) and other settings.

    Raises
    ------
    TraceFileError
        If it is no readable safetensors file, or lacks the keys.
    """
    return _read(source, tokens, options, _open_safetensors)


def _read(
    source: Any, tokens: Any, options: dict[str, Any], open_: Callable[[bytes], dict[str, Any]]
) -> Trace:
    name, content = "the content", source
    if not isinstance(source, bytes):
        path = Path(source)
        name = path.name
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TraceFileError(f"{name}: a file must have at most {MAX_FILE_BYTES} bytes")
        content = path.read_bytes()
    errors = (ValueError, KeyError, OSError, zipfile.BadZipFile, SafetensorError)
    try:
        return _make_trace(open_(content), tokens, options)
    except errors as error:
        raise TraceFileError(f"{name}: {' '.join(str(error).split())}") from error


def _make_trace(entries: dict[str, Any], tokens: Any, options: dict[str, Any]) -> Trace:
    if "trace" in entries:
        raise ValueError("it is a trace of attnpanel: read it with Trace.load")
    given = {name: entries.pop(name) for name in OF_THE_FILE if name in entries}
    shared = {name: entries.pop(name) for name in SETTINGS if name in entries}
    layers: dict[str, dict[str, Any]] = {}
    for key, value in entries.items():
        layer, _, field = key.rpartition(".")
        if field not in (*ARRAYS, *SETTINGS):
            raise ValueError(
                f"keys must end in {', '.join((*ARRAYS, *SETTINGS))}; got {key[:80]!r}"
            )
        layers.setdefault(layer or "layer.0", {})[field] = value
    if not layers:
        raise ValueError("it must hold at least one layer's arrays; got none")
    calls = []
    key_tokens = options.pop("key_tokens", _words(given.get("key_tokens")))
    for index, layer in enumerate(sorted(layers, key=_natural)):
        part = _read_layer(layer, shared | layers[layer], str(given.get("layout", "BHTD")))
        calls.append(replace(part[0], index=index))
    trace = Trace(calls, source="file", model=str(given.get("model", "")))
    rows = tokens if len(tokens) else _words(given.get("tokens"))
    trace.label(rows, key_tokens)
    return trace


def _read_layer(layer: str, fields: dict[str, Any], layout: Any) -> Trace:
    if "weights" in fields:
        return Trace.from_weights({layer: fields["weights"]})
    if not {"query", "key"} <= fields.keys():
        raise ValueError(f"{layer!r} must have weights, or query and key; got {sorted(fields)}")
    given = ("mask", "bias", "sinks", "causal")
    options: dict[str, Any] = {name: fields[name] for name in given if name in fields}
    options |= {name: float(fields[name]) for name in ("scale", "soft_cap") if name in fields}
    if "causal" in options:
        options["causal"] = str(options["causal"])
    trace = Trace.from_qkv(
        {layer: fields["query"]},
        {layer: fields["key"]},
        {layer: fields["value"]} if "value" in fields else None,
        layout=layout,
        **options,
    )
    return trace if "window" not in fields else _within(trace, int(fields["window"]))


def _within(trace: Trace, window: int) -> Trace:
    """Return a trace whose queries see the last `window` keys up to their own only."""
    if window < 1:
        raise ValueError(f"window must be at least 1; got {window}")
    (call,) = trace
    own = np.arange(call.query_len)[:, None] + call.key_len - call.query_len
    near = np.arange(call.key_len) > own - window
    mask = near if call.mask is None else near & call.mask
    return Trace([replace(call, mask=mask)])


def _open_npz(content: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_FILE_BYTES:
        raise ValueError(f"its arrays must have at most {MAX_FILE_BYTES} bytes; got {size}")
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _open_safetensors(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    tensors = {name: _array(name, entry) for name, entry in deserialize(content)}  # type: ignore[no-untyped-call]
    header = json.loads(content[8 : 8 + length])
    metadata = header.get("__metadata__") or {}
    known = {n: v for n, v in metadata.items() if n == "trace" or _is_known(n)}
    return tensors | known


def _is_known(name: str) -> bool:
    return name in OF_THE_FILE or name.rpartition(".")[2] in SETTINGS


def _array(name: str, entry: dict[str, Any]) -> NDArray[Any]:
    dtype = entry["dtype"]
    if dtype not in _NUMPY_TYPES:
        raise ValueError(f"{name} must be one of {', '.join(_NUMPY_TYPES)}; got {dtype}")
    array: NDArray[Any] = np.frombuffer(bytes(entry["data"]), _NUMPY_TYPES[dtype])
    if dtype == "BF16":  # the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(entry["shape"])


def _words(value: Any) -> Any:
    """Return rows of tokens: an array of strings of an npz file, or JSON of metadata."""
    if value is None:
        return None
    return json.loads(value) if isinstance(value, str) else np.asarray(value).tolist()


def _natural(layer: str) -> list[tuple[int, str]]:
    """Sort "layer.10" after "layer.9"."""
    parts = re.split(r"(\d+)", layer)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _named(source: Any, ending: str) -> bool:
    return isinstance(source, str | PathLike) and str(source).endswith(ending)


def _starts_with(source: Any, magic: bytes) -> bool:
    return isinstance(source, bytes) and source.startswith(magic)
