"""Check the header of an untrusted trace file before any data is read.

A trace file is safetensors: eight bytes of header length, a JSON header, the tensors' bytes.
The header's metadata holds one JSON document, ``trace``: the schema, the tokens, and for each
call its fields and the names of its tensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from math import prod
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import check_number, check_text
from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall
from attnpanel.trace.coverage import Coverage, LayerCoverage
from attnpanel.trace.head_outputs import AXES as OUTPUT_AXES
from attnpanel.trace.head_outputs import HeadOutputs
from attnpanel.trace.picture_record import parse_picture
from attnpanel.trace.rotary import parse_rotary
from attnpanel.trace.subset import Subset
from attnpanel.trace.token_origins import TokenOrigins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from attnpanel.trace.picture import Picture

SCHEMA = "attnpanel.trace/1"
MAX_FILE_BYTES = 4 << 30
MAX_HEADER_BYTES = 8 << 20  # parsed JSON can take 25 times its size in memory
MAX_CALLS = 1 << 13
MAX_BATCH = 1 << 12
MAX_HEADS = 1 << 10
MAX_LEN = 1 << 16  # T, S and the tokens of a row
MAX_PAIRS = 1 << 28  # T * S, which one head's weights take, however small the file is
MAX_CHANNELS = 1 << 14
MAX_TEXT_CHARS = 1 << 12
MAX_VOCABULARY = 1 << 20

TENSOR_FIELDS = ("query", "key", "value", "mask", "bias", "sinks", "recorded_weights")
# What heads write, ``outputs``, has tensors of its own.
OUTPUT_FIELDS = tuple(f"outputs.{name}" for name in OUTPUT_AXES)
CALL_FIELDS = ("layer", "index", "kind", "causal", "scale", "q_offset")
# Written only for calls that have them, so that older readers can still read all other files.
OPTIONAL_CALL_FIELDS = ("soft_cap", "rotary", "outputs")
_DOCUMENT_FIELDS = ("schema", "source", "model", "created", "query_tokens", "key_tokens", "calls")
_OPTIONAL_FIELDS = (
    *("chosen", "head_importance", "coverage", "picture", "vocabularies", "origins"),
)
_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "BOOL": np.dtype(np.bool_),
    "I32": np.dtype(np.int32),  # tokens that heads promote
    "U8": np.dtype(np.uint8),  # a picture's
}


@dataclass(frozen=True)
class Outline:
    """A trace without its data.

    Attributes
    ----------
    trace : Trace
        Its arrays have the right types and shapes, and take no memory.
    tensor_names : tuple of mappings
        For each call, the name in the file of each of its tensors, by field.
    image_names : tuple of str
        The name of the tensor of each image.
    """

    trace: Trace
    tensor_names: tuple[Mapping[str, str], ...]
    image_names: tuple[str, ...] = ()


def outline(header: bytes, data_bytes: int) -> Outline:
    """Check a header against every rule and build the trace it describes, without data.

    Parameters
    ----------
    header : bytes
        The JSON header, without the eight bytes before it.
    data_bytes : int
        Number of bytes after the header.

    Raises
    ------
    ValueError
        The first broken rule and the value that broke it.
    """
    entries = _parse_json("header", header)
    metadata = entries.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("trace"), str):
        raise ValueError(f"the metadata must hold a trace document; got {short(metadata)}")  # noqa: TRY004 - one error type for a bad file
    document = _parse_json("trace document", metadata["trace"])
    if document.get("schema") != SCHEMA:
        raise ValueError(f"the schema must be {SCHEMA!r}; got {short(document.get('schema'))}")
    # Subsets of a trace have `chosen`, measured ones `head_importance`, captured ones `coverage`,
    # those of a picture's patches `picture`, those with what heads write `vocabularies`.
    optional = [field for field in _OPTIONAL_FIELDS if field in document]
    _check_fields("the trace document", document, (*_DOCUMENT_FIELDS, *optional))
    arrays = _empty_arrays(entries, data_bytes)
    records = _checked_list("calls", document["calls"], MAX_CALLS)
    vocabularies = _parse_vocabularies(document.get("vocabularies", []))
    calls = [
        _parse_call(f"calls[{i}]", record, arrays, vocabularies) for i, record in enumerate(records)
    ]
    names = tuple(record["tensors"] for record in records)
    used = {name for record in names for name in record.values()}
    picture: Picture | None = None
    images: tuple[str, ...] = ()
    if "picture" in document:
        picture, images = parse_picture(document["picture"], arrays)
    if unused := arrays.keys() - used - set(images):
        raise ValueError(f"every tensor must belong to a call; got {short(min(unused))}")
    trace = _parse_trace(document, calls)
    trace.picture = picture
    return Outline(trace, names, images)


def _parse_json(name: str, text: str | bytes) -> dict[str, Any]:
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")  # json would also take UTF-16, which safetensors does not
        parsed = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError(f"the {name} must be JSON of a few levels; got deeper nesting") from None
    except ValueError as error:
        raise ValueError(f"the {name} must be JSON; got {error}") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"the {name} must be a JSON object; got {short(parsed)}")  # noqa: TRY004 - one error type for a bad file
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers may choose different values for a repeated name: safetensors might then read
    # something else than what is checked here.
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("an object with the same name twice")
    return record


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which is not JSON")


def _check_fields(name: str, record: object, fields: Sequence[str]) -> None:
    if not isinstance(record, dict) or record.keys() != set(fields):
        got = sorted(record) if isinstance(record, dict) else record
        raise ValueError(f"{name} must have the fields {', '.join(fields)}; got {short(got)}")


def _checked_list(name: str, entries: object, most: int) -> list[Any]:
    if not isinstance(entries, list) or len(entries) > most:
        got = len(entries) if isinstance(entries, list) else short(entries)
        raise ValueError(f"{name} must be a list of at most {most}; got {got}")
    return entries


def _check_length(name: str, text: object, most: int = MAX_TEXT_CHARS) -> None:
    if not isinstance(text, str) or len(text) > most:
        got = f"{len(text)} characters" if isinstance(text, str) else short(text)
        raise ValueError(f"{name} must be text of at most {most} characters; got {got}")


def _empty_arrays(entries: dict[str, Any], data_bytes: int) -> dict[str, NDArray[Any]]:
    """Make arrays of the declared types and shapes that take no memory."""
    arrays, ranges = {}, []
    for name, entry in entries.items():
        where = f"tensor {short(name)}"
        _check_fields(where, entry, ("dtype", "shape", "data_offsets"))
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
            raise ValueError(
                f"{where} must be one of {', '.join(_DTYPES)}; got {short(entry['dtype'])}"
            )
        dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
        if not _are_counts(shape) or len(shape) > 4 or not all(1 <= n <= MAX_LEN for n in shape):
            raise ValueError(
                f"{where} must have up to four axes of 1 to {MAX_LEN}; got {short(shape)}"
            )
        offsets = entry["data_offsets"]
        if not _are_counts(offsets) or len(offsets) != 2:
            raise ValueError(f"{where} must have two data offsets; got {short(offsets)}")
        if offsets[1] - offsets[0] != prod(shape) * dtype.itemsize:
            raise ValueError(
                f"{where} must take {prod(shape) * dtype.itemsize} bytes; got offsets "
                f"{short(offsets)}"
            )
        arrays[name] = np.broadcast_to(np.zeros((), dtype), shape)
        ranges.append((offsets[0], offsets[1]))
    end = 0
    for start, stop in sorted(ranges):
        if start != end:
            raise ValueError(f"tensors must follow each other; got {short(start)} after {end}")
        end = stop
    if end != data_bytes:
        raise ValueError(f"the header promises {end} bytes of data; got {data_bytes}")
    return arrays


def _are_counts(numbers: object) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)


def _parse_call(
    where: str,
    record: Any,
    arrays: Mapping[str, NDArray[Any]],
    vocabularies: list[tuple[str, ...]],
) -> AttentionCall:
    known = record if isinstance(record, dict) else {}
    optional = [name for name in OPTIONAL_CALL_FIELDS if name in known]
    fields = (*CALL_FIELDS, *optional)
    _check_fields(where, record, (*fields, "tensors"))
    tensors = record["tensors"]
    if not isinstance(tensors, dict) or not tensors.keys() <= {
        *TENSOR_FIELDS,
        *(OUTPUT_FIELDS if "outputs" in known else ()),
    }:
        got = sorted(tensors) if isinstance(tensors, dict) else tensors
        raise ValueError(
            f"{where}.tensors must be among {', '.join(TENSOR_FIELDS)}; got {short(got)}"
        )
    for field, name in tensors.items():
        if not isinstance(name, str) or name not in arrays:
            raise ValueError(f"{where}.{field} must name a tensor of the file; got {short(name)}")
    _check_length(f"{where}.layer", record["layer"])
    values: dict[str, Any] = {field: record[field] for field in fields}
    values |= {field: arrays[name] for field, name in tensors.items() if "." not in field}
    try:
        if "outputs" in values:
            written = {
                field.removeprefix("outputs."): arrays[name]
                for field, name in tensors.items()
                if "." in field
            }
            values["outputs"] = _parse_outputs(where, values["outputs"], written, vocabularies)
        if "rotary" in values:
            values["rotary"] = parse_rotary(values["rotary"])
        call = AttentionCall(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    _check_sizes(where, call)
    return call


def _parse_outputs(
    where: str,
    record: Any,
    arrays: dict[str, NDArray[Any]],
    vocabularies: list[tuple[str, ...]],
) -> HeadOutputs:
    _check_fields(f"{where}.outputs", record, ("vocabulary", "missing"))
    _check_length(f"{where}.outputs.missing", record["missing"])
    at = record["vocabulary"]
    if at is not None and (not _are_counts([at]) or at >= len(vocabularies)):
        raise ValueError(f"outputs.vocabulary must be below {len(vocabularies)}; got {short(at)}")
    named = () if at is None else vocabularies[at]
    return HeadOutputs(**arrays, vocabulary=named, missing=record["missing"])


def _parse_vocabularies(lists: object) -> list[tuple[str, ...]]:
    parsed = []
    for i, texts in enumerate(_checked_list("vocabularies", lists, MAX_CALLS)):
        for j, text in enumerate(_checked_list(f"vocabularies[{i}]", texts, MAX_VOCABULARY)):
            _check_length(f"vocabularies[{i}][{j}]", text)
        parsed.append(tuple(texts))
    return parsed


def _check_sizes(where: str, call: AttentionCall) -> None:
    for name, size, most in (
        ("batch", call.batch, MAX_BATCH),
        ("heads", call.heads, MAX_HEADS),
        ("head_dim", call.head_dim or 0, MAX_CHANNELS),
        ("value_dim", call.value_dim or 0, MAX_CHANNELS),
        ("query_len * key_len", call.query_len * call.key_len, MAX_PAIRS),
    ):
        if size > most:
            raise ValueError(f"{where}: {name} must be at most {most}; got {size}")


def _parse_trace(document: dict[str, Any], calls: list[AttentionCall]) -> Trace:
    for field in ("source", "model", "created"):
        _check_length(field, document[field])
    for field in ("query_tokens", "key_tokens"):
        if document[field] is not None:
            _check_tokens(field, document[field], calls)
    trace = Trace(
        calls,
        query_tokens=document["query_tokens"] or (),
        key_tokens=document["key_tokens"],
        source=document["source"],
        model=document["model"],
        created=document["created"],
    )
    if "chosen" in document:
        trace.subset = _parse_subset(document["chosen"], calls)
    if "head_importance" in document:
        trace.head_importance = _parse_importance(document["head_importance"], calls)
    if "coverage" in document:
        trace.coverage = _parse_coverage(document["coverage"])
    if "origins" in document:
        trace.origins = _parse_origins(document["origins"], calls)
    return trace


def _parse_origins(record: Any, calls: list[AttentionCall]) -> TokenOrigins:
    """Parse the text that each token came from."""
    _check_fields("origins", record, ("texts", "unknown"))
    _check_length("origins.unknown", record["unknown"])
    _check_tokens("origins.texts", record["texts"], calls)
    for text in (record["unknown"], *chain.from_iterable(record["texts"])):
        check_text("origins", text)
    return TokenOrigins(tuple(map(tuple, record["texts"])), record["unknown"])


def _parse_coverage(rows: object) -> Coverage:
    layers = []
    for i, row in enumerate(_checked_list("coverage", rows, MAX_CALLS)):
        where = f"coverage[{i}]"
        if not isinstance(row, list) or len(row) != 3 or not _are_counts(row[1:2]):
            raise ValueError(f"{where} must be a layer, a count and a reason; got {short(row)}")
        _check_length(f"{where}[0]", row[0])
        _check_length(f"{where}[2]", row[2])
        layers.append(LayerCoverage(*row))
    return Coverage(tuple(layers))


def _parse_importance(rows: object, calls: list[AttentionCall]) -> list[NDArray[np.float64]]:
    """Parse one number a head of each call; null stands for nan."""
    if len(_checked_list("head_importance", rows, len(calls))) != len(calls):
        raise ValueError(f"head_importance must have a list for each of {len(calls)} calls")
    arrays = []
    for i, (row, call) in enumerate(zip(rows, calls, strict=True)):  # type: ignore[call-overload]  # a list, as checked
        where = f"head_importance[{i}]"
        if not isinstance(row, list) or len(row) != call.heads:
            raise ValueError(f"{where} must be a list of {call.heads} numbers; got {short(row)}")
        for number in row:
            if number is not None:
                check_number(where, number)
        arrays.append(np.array([np.nan if number is None else float(number) for number in row]))
    return arrays


def _parse_subset(record: Any, calls: list[AttentionCall]) -> Subset:
    _check_fields("chosen", record, ("layers", "heads", "layer_count", "head_count"))
    layers, heads = record["layers"], record["heads"]
    _check_numbers("chosen.layers", layers, record["layer_count"], len(calls), MAX_CALLS)
    if heads is not None:
        for call in calls:
            _check_numbers("chosen.heads", heads, record["head_count"], call.heads, MAX_HEADS)
    elif not _are_counts([record["head_count"]]) or record["head_count"] > MAX_HEADS:
        raise ValueError(
            f"chosen.head_count must be 0 to {MAX_HEADS}; got {short(record['head_count'])}"
        )
    kept = None if heads is None else tuple(heads)
    return Subset(tuple(layers), kept, record["layer_count"], record["head_count"])


def _check_numbers(name: str, numbers: object, total: object, count: int, most: int) -> None:
    if type(total) is not int or not 0 <= total <= most:
        raise ValueError(f"{name} must be of a whole of at most {most}; got {short(total)}")
    if (
        not _are_counts(numbers)
        or len(numbers) != count  # type: ignore[arg-type]  # a list, as checked
        or sorted({n for n in numbers if n < total}) != numbers  # type: ignore[attr-defined]
    ):
        raise ValueError(
            f"{name} must be {count} ascending numbers below {total}; got {short(numbers)}"
        )


def _check_tokens(field: str, rows: object, calls: list[AttentionCall]) -> None:
    most_rows = max((call.batch for call in calls), default=MAX_BATCH)
    # One more than the longest call: the last generated token is never an input of the model.
    longest = max((max(call.query_len, call.key_len) + 1 for call in calls), default=MAX_LEN)
    for b, row in enumerate(_checked_list(field, rows, most_rows)):
        for t, token in enumerate(_checked_list(f"{field}[{b}]", row, longest)):
            _check_length(f"{field}[{b}][{t}]", token)
