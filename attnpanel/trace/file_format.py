"""Read and write trace files: atomic writes, untrusted reads, never pickle."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import contextmanager
from dataclasses import asdict, astuple, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save, save_file

from attnpanel.trace.atomic_write import atomic_write
from attnpanel.trace.file_header import (
    CALL_FIELDS,
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    MAX_TEXT_CHARS,
    OUTPUT_FIELDS,
    SCHEMA,
    TENSOR_FIELDS,
    Outline,
    outline,
)
from attnpanel.trace.head_outputs import IDS, HeadOutputs, check_ids, index_of
from attnpanel.trace.picture_record import pack_picture
from attnpanel.trace.subset import with_calls
from attnpanel.trace.trace import Trace, TraceFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.trace.call import AttentionCall

_LENGTH_BYTES = 8  # a safetensors file starts with its header's length, little-endian
_OTHER_FORMATS = (
    (b"PK", "a zip or npz file"),
    (b"\x80", "a pickle"),
    (b"\x93NUMPY", "a npy file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"<", "a page or XML, such as a report"),
    (b"{", "JSON, such as notes or a result of the bench"),
    (b"[", "JSON"),
)


def save_trace(trace: Trace, path: str | os.PathLike[str], *, tokens: bool) -> None:
    """Write a trace as one file, atomically; see :meth:`attnpanel.Trace.save`."""
    name = Path(os.path.realpath(path)).name
    with _as_trace_file_error(name):
        tensors, document = _pack(trace, tokens=tokens)
    with atomic_write(path) as temporary:
        _write(tensors, {"trace": json.dumps(document, separators=(",", ":"))}, temporary)
        with temporary.open("rb") as file, _as_trace_file_error(name):
            _read_outline(file, temporary.stat().st_size)


def load_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace file; see :meth:`attnpanel.Trace.load`."""
    path = Path(path)
    with _as_trace_file_error(path.name):
        mode = path.stat().st_mode
        # Opening a pipe would wait for a writer forever.
        if not stat.S_ISREG(mode):
            got = "a folder" if stat.S_ISDIR(mode) else "something else"
            raise ValueError(f"a trace must be a file; got {got}")
        with path.open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)


def trace_bytes(trace: Trace) -> bytes:
    """Return the content of a trace file, with its tokens, as :func:`parse_trace` reads it."""
    with _as_trace_file_error("trace"):
        tensors, document = _pack(trace, tokens=True)
        return bytes(save(tensors, {"trace": json.dumps(document, separators=(",", ":"))}))


def parse_trace(data: bytes, name: str) -> Trace:
    """Read the content of a trace file; see :meth:`attnpanel.Trace.from_bytes`."""
    with _as_trace_file_error(name):
        return _read(BytesIO(data), len(data))


@contextmanager
def _as_trace_file_error(name: str) -> Iterator[None]:
    """Turn any error that a bad file causes into a TraceFileError with the file's name."""
    try:
        yield
    except (ValueError, OverflowError, RecursionError, SafetensorError) as error:
        printable = name if name.isprintable() else ascii(name)
        sentence = " ".join(str(error).split())
        raise TraceFileError(f"{printable[:200]}: {sentence}") from error


def _pack(trace: Trace, *, tokens: bool) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Split a trace into its tensors and its JSON document; store equal masks and biases once."""
    tensors: dict[str, NDArray[Any]] = {}
    known: dict[object, str] = {}
    records = []
    vocabularies: list[tuple[str, ...]] = []
    for i, call in enumerate(trace.calls):
        names: dict[str, str] = {}
        for field in TENSOR_FIELDS:
            array = getattr(call, field)
            if array is None:
                continue
            _check_values(f"calls[{i}].{field}", field, array)
            name = f"{i}.{field}"
            # safetensors writes memory as it is; ascontiguousarray turns shape () into (1,).
            dense = np.ascontiguousarray(array).reshape(array.shape)
            if field in ("mask", "bias"):
                digest = hashlib.sha256(dense.data).digest()
                name = known.setdefault((dense.dtype, dense.shape, digest), name)
            tensors.setdefault(name, dense)
            names[field] = name
        record = _record(call, names)
        if call.outputs is not None:
            outputs = call.outputs if tokens else call.outputs.without_tokens()
            record["outputs"] = _pack_outputs(outputs, f"{i}.outputs", tensors, names, vocabularies)
        records.append(record)
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
    if vocabularies:
        document["vocabularies"] = vocabularies
    if trace.picture is not None:
        images, document["picture"] = pack_picture(trace.picture, images=tokens)
        tensors |= images
    if trace.origins is not None and tokens:
        # A word of any length can be one token, such as [UNK].
        texts = [[text[:MAX_TEXT_CHARS] for text in row] for row in trace.origins.texts]
        document["origins"] = {"texts": texts, "unknown": trace.origins.unknown}
    return tensors, document | _optional_fields(trace)


def _optional_fields(trace: Trace) -> dict[str, Any]:
    """Return the fields that only some traces have."""
    document: dict[str, Any] = {}
    if trace.subset is not None:
        document["chosen"] = asdict(trace.subset)
    if trace.coverage is not None:
        document["coverage"] = [list(astuple(entry)) for entry in trace.coverage.layers]
    if trace.head_importance is not None:
        document["head_importance"] = [
            [None if np.isnan(number) else float(number) for number in array]
            for array in trace.head_importance
        ]
    return document


def _pack_outputs(
    outputs: HeadOutputs,
    prefix: str,
    tensors: dict[str, NDArray[Any]],
    names: dict[str, str],
    vocabularies: list[tuple[str, ...]],
) -> dict[str, Any]:
    """Add the tensors of what heads write, and their names; return the record of the rest."""
    for field, array in outputs.arrays.items():
        name = names[f"outputs.{field}"] = f"{prefix}.{field}"
        _check_outputs(name, field, array, outputs)
        tensors[name] = np.ascontiguousarray(array)
    at = index_of(outputs.vocabulary, vocabularies) if outputs.vocabulary else None
    return {"vocabulary": at, "missing": outputs.missing}


def _check_outputs(where: str, field: str, array: NDArray[Any], outputs: HeadOutputs) -> None:
    if field in IDS:
        check_ids(where, array, outputs.vocabulary)
    else:
        _check_values(where, field, array)


def _record(call: AttentionCall, tensors: dict[str, str]) -> dict[str, Any]:
    """Return a call's fields and the names of its tensors."""
    record = {field: getattr(call, field) for field in CALL_FIELDS} | {"tensors": tensors}
    if call.soft_cap is not None:
        record["soft_cap"] = call.soft_cap
    if call.rotary is not None:
        record["rotary"] = list(astuple(call.rotary))
    return record


def _write(tensors: dict[str, NDArray[Any]], metadata: dict[str, str], path: Path) -> None:
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        raise OSError(f"{path.parent} cannot be written to: {error}") from error


def _read(file: BinaryIO, size: int) -> Trace:
    header = _read_outline(file, size)
    file.seek(0)
    content = file.read(size)
    if len(content) != size:
        raise ValueError(f"the file must not change while it is read; got {len(content)} bytes")
    arrays = load(content)
    for array in arrays.values():
        array.flags.writeable = False
    calls = []
    checked = set()
    for i, (outline_call, names) in enumerate(
        zip(header.trace.calls, header.tensor_names, strict=True)
    ):
        data: dict[str, Any] = {field: arrays[name] for field, name in names.items()}
        if outline_call.outputs is not None:
            written = {field: data.pop(field) for field in names if field in OUTPUT_FIELDS}
            outputs = {field.removeprefix("outputs."): array for field, array in written.items()}
            for field, array in outputs.items():
                where = f"calls[{i}].outputs.{field}"
                _check_outputs(where, field, array, outline_call.outputs)
            data["outputs"] = replace(outline_call.outputs, **outputs)
        for field, name in names.items():
            if field in TENSOR_FIELDS and (field, name) not in checked:
                _check_values(f"calls[{i}].{field}", field, arrays[name])
                checked.add((field, name))
        calls.append(replace(outline_call, **data))
    trace = with_calls(header.trace, calls, subset=header.trace.subset)
    trace.head_importance = header.trace.head_importance
    if trace.picture is not None:
        images = tuple(arrays[name] for name in header.image_names)
        trace.picture = replace(trace.picture, images=images)
    return trace


def _read_outline(file: BinaryIO, size: int) -> Outline:
    """Check sizes and the header without reading the data."""
    if size > MAX_FILE_BYTES:
        raise ValueError(f"a trace file must have at most {MAX_FILE_BYTES} bytes; got {size}")
    start = file.read(_LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if len(start) < _LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, size - len(start)):
        text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
        kinds = [kind for magic, kind in _OTHER_FORMATS if text.startswith(magic)]
        got = kinds[0] if kinds else f"{length} in a file of {size} bytes"
        raise ValueError(
            "a trace file must start with the length of its header, 2 to "
            f"{MAX_HEADER_BYTES} bytes that are in the file; got {got}"
        )
    return outline(file.read(length), size - _LENGTH_BYTES - length)


def _check_values(where: str, field: str, array: NDArray[Any]) -> None:
    """Raise ValueError for numbers that cannot be used, or booleans other than 0 and 1."""
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
