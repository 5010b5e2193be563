"""Traces on disk: written whole or not at all, read as hostile, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import contextmanager
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from attnpanel.trace import Trace, TraceFileError
from attnpanel.trace_choice import with_calls
from attnpanel.trace_header import (
    CALL_FIELDS,
    CAPPED_FIELDS,
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    SCHEMA,
    TENSOR_FIELDS,
    Outline,
    outline,
)
from attnpanel.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_LENGTH_BYTES = 8  # a safetensors file starts with its header's length, little-endian
_OTHER_FORMATS = ((b"PK", "a zip or npz file"), (b"\x80", "a pickle"), (b"\x93NUMPY", "a npy file"))


def save_trace(trace: Trace, path: str | os.PathLike[str], *, tokens: bool) -> None:
    """Write a trace as one file, all of it or none; see :meth:`attnpanel.Trace.save`."""
    name = Path(os.path.realpath(path)).name
    with _one_error(name):
        tensors, document = _packed(trace, tokens=tokens)
    with whole_file(path) as temporary:
        _write(tensors, {"trace": json.dumps(document, separators=(",", ":"))}, temporary)
        with temporary.open("rb") as file, _one_error(name):
            _read_outline(file, temporary.stat().st_size)


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace file; see :meth:`attnpanel.Trace.load`."""
    path = Path(path)
    with _one_error(path.name):
        mode = path.stat().st_mode
        # Opening a pipe would wait for a writer for ever.
        if not stat.S_ISREG(mode):
            got = "a folder" if stat.S_ISDIR(mode) else "something else"
            raise ValueError(f"a trace must be a file; got {got}")
        with path.open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)


def parse_trace(data: bytes, name: str) -> Trace:
    """Read the content of a trace file; see :meth:`attnpanel.Trace.from_bytes`."""
    with _one_error(name):
        return _read(BytesIO(data), len(data))


@contextmanager
def _one_error(name: str) -> Iterator[None]:
    """Turn whatever a bad file causes into one TraceFileError with the file's name."""
    try:
        yield
    except (ValueError, OverflowError, RecursionError, SafetensorError) as error:
        shown = name if name.isprintable() else ascii(name)
        sentence = " ".join(str(error).split())
        raise TraceFileError(f"{shown[:200]}: {sentence}") from error


def _packed(trace: Trace, *, tokens: bool) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Split a trace into its tensors and its JSON document; equal masks and biases once."""
    tensors: dict[str, NDArray[Any]] = {}
    kept: dict[object, str] = {}
    records = []
    for i, call in enumerate(trace.calls):
        names = {}
        for field in TENSOR_FIELDS:
            array = getattr(call, field)
            if array is None:
                continue
            _check_values(f"calls[{i}].{field}", field, array)
            name = f"{i}.{field}"
            # safetensors writes the memory as it lies; ascontiguousarray makes ()-shapes (1,).
            dense = np.ascontiguousarray(array).reshape(array.shape)
            if field in ("mask", "bias"):
                digest = hashlib.sha256(dense.data).digest()
                name = kept.setdefault((dense.dtype, dense.shape, digest), name)
            tensors.setdefault(name, dense)
            names[field] = name
        fields = CALL_FIELDS if call.soft_cap is None else CAPPED_FIELDS
        records.append({field: getattr(call, field) for field in fields} | {"tensors": names})
    own_keys = trace.key_tokens is not trace.query_tokens
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "source": trace.source,
        "model": trace.model,
        "created": trace.created,
        "query_tokens": trace.query_tokens if tokens else (),
        "key_tokens": trace.key_tokens if tokens and own_keys else None,
        "calls": records,
    }
    if trace.chosen is not None:
        document["chosen"] = asdict(trace.chosen)
    if trace.head_importance is not None:
        document["head_importance"] = [
            [None if np.isnan(one) else float(one) for one in array]
            for array in trace.head_importance
        ]
    return tensors, document


def _write(tensors: dict[str, NDArray[Any]], metadata: dict[str, str], path: Path) -> None:
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(f"{path.parent} could not be written to: {error}") from error


def _read(file: BinaryIO, size: int) -> Trace:
    plan = _read_outline(file, size)
    file.seek(0)
    content = file.read(size)
    if len(content) != size:
        raise ValueError(f"the file must not change while it is read; got {len(content)} bytes")
    arrays = load(content)
    for array in arrays.values():
        array.flags.writeable = False
    calls = []
    checked = set()
    for i, (stand_in, names) in enumerate(zip(plan.trace.calls, plan.tensor_names, strict=True)):
        for field, name in names.items():
            if (field, name) not in checked:
                _check_values(f"calls[{i}].{field}", field, arrays[name])
                checked.add((field, name))
        data: dict[str, Any] = {field: arrays[name] for field, name in names.items()}
        calls.append(replace(stand_in, **data))
    trace = with_calls(plan.trace, calls, chosen=plan.trace.chosen)
    trace.head_importance = plan.trace.head_importance
    return trace


def _read_outline(file: BinaryIO, size: int) -> Outline:
    """Check sizes and the header; the data stays unread."""
    if size > MAX_FILE_BYTES:
        raise ValueError(f"a trace file must have at most {MAX_FILE_BYTES} bytes; got {size}")
    start = file.read(_LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if len(start) < _LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, size - len(start)):
        kinds = [kind for magic, kind in _OTHER_FORMATS if start.startswith(magic)]
        got = kinds[0] if kinds else f"{length} in a file of {size} bytes"
        raise ValueError(
            "a trace file must start with the length of its header, 2 to "
            f"{MAX_HEADER_BYTES} bytes that are in the file; got {got}"
        )
    return outline(file.read(length), size - _LENGTH_BYTES - length)


def _check_values(where: str, field: str, array: NDArray[Any]) -> None:
    """Refuse numbers that cannot be computed with, and booleans that are neither 0 nor 1."""
    if field == "mask":
        array = array.view(np.uint8)
        wrong, rule = array > 1, "0 or 1"
    elif field == "bias":
        wrong, rule = ~(array < np.inf), "finite or -inf"
    elif field == "recorded_weights":
        wrong, rule = np.isinf(array), "finite or nan"
    else:
        wrong, rule = ~np.isfinite(array), "finite"
    if wrong.any():
        raise ValueError(f"{where} must be {rule} throughout; got {array[wrong][0]}")
