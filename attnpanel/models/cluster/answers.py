"""What a worker answers: traces as trace files, the rest as JSON; checked like an upload.

An answer is bytes and is never unpickled: eight bytes of length, a JSON document, the files.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel import __version__
from attnpanel.attention.errors import MissingDependencyError
from attnpanel.models.continuation import MAX_CANDIDATES as MAX_WRITTEN_CANDIDATES
from attnpanel.models.continuation import MAX_WRITTEN, Writer, WrittenToken
from attnpanel.models.continuation import Candidate as WrittenCandidate
from attnpanel.models.intervene.output_change import MAX_CANDIDATES, Candidate, OutputChange
from attnpanel.trace import Trace
from attnpanel.trace.computable import check_computable
from attnpanel.trace.file_format import trace_bytes
from attnpanel.trace.file_header import MAX_LEN, MAX_TEXT_CHARS
from attnpanel.trace.trace import TraceFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_ANSWER_BYTES: Final = 512 << 20
MAX_DOCUMENT_BYTES: Final = 16 << 20
MAX_COUNT: Final = 2**31
MAX_SENTENCE: Final = 600
_LENGTH_BYTES: Final = 8
_FIELDS: Final = (
    *("version", "error", "missing", "traces", "output", "written", "ended", "writer"),
    "importance",
)


class WorkerAnswerError(ValueError):
    """A worker's answer breaks a rule."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a prompt gave.

    Attributes
    ----------
    traces : tuple of Trace
        One, or those without and with a change.
    output : OutputChange or None
    written : tuple of WrittenToken
    ended : bool
        Whether the model ended the text.
    writer : Writer or None
    importance : tuple of arrays of shape (H,), or None
    """

    traces: tuple[Trace, ...] = ()
    output: OutputChange | None = None
    written: tuple[WrittenToken, ...] = ()
    ended: bool = False
    writer: Writer | None = None
    importance: tuple[NDArray[np.floating[Any]], ...] | None = None


def pack(answer: Answer) -> bytes:
    """Return an answer as bytes.

    Raises
    ------
    ValueError
        If a trace holds what no trace file may, or all are larger than a server takes.
    """
    files = [trace_bytes(trace) for trace in answer.traces]
    size = sum(map(len, files))
    if size > MAX_ANSWER_BYTES - MAX_DOCUMENT_BYTES:
        raise ValueError(
            f"the attention of a prompt must take at most {MAX_ANSWER_BYTES >> 20} MiB; "
            f"got {size >> 20}: try a shorter text"
        )
    importance = answer.importance and [
        [None if math.isnan(number) else number for number in row.tolist()]
        for row in answer.importance
    ]
    document = {
        "traces": [len(file) for file in files],
        "output": answer.output and _output_record(answer.output),
        "written": [token_record(token) for token in answer.written],
        "ended": answer.ended,
        "writer": answer.writer
        and [answer.writer.name, answer.writer.next_tokens, answer.writer.limit],
        "importance": importance,
    }
    return _packed(document, files)


def pack_error(sentence: str, *, missing: bool = False) -> bytes:
    """Return why there is no answer as bytes; `missing` if the worker lacks a package."""
    return _packed({"error": sentence[:MAX_SENTENCE], "missing": missing}, [])


def parse(data: object) -> Answer:
    """Read an answer and check all of it.

    Raises
    ------
    WorkerAnswerError
        The first broken rule and the value that broke it.
    ValueError
        What the worker says about the prompt, or an overflow in the trace.
    MissingDependencyError
        The worker's, if it lacks a package.
    """
    document, files = _unpack(data)
    if document["version"] != __version__:
        raise WorkerAnswerError(
            f"a worker must have the server's attnpanel, {__version__}; "
            f"got {short(document['version'])}"
        )
    error = document["error"]
    if error is not None:
        sentence = _text("error", error, MAX_SENTENCE)
        if document["missing"]:
            raise MissingDependencyError(f"a worker of this server lacks a package: {sentence}")
        raise ValueError(sentence)
    traces = tuple(_parse_trace(file) for file in files)
    _require(type(document["ended"]) is bool, "ended must be a boolean", document["ended"])
    tokens = _list("written", document["written"], MAX_WRITTEN)
    written = tuple(parse_token(record) for record in tokens)
    output = document["output"]
    answer = Answer(
        traces,
        None if output is None else _parse_output(output),
        written,
        document["ended"],
        _parse_writer(document["writer"]),
        _parse_importance(document["importance"]),
    )
    _check_together(answer)
    return answer


def token_record(token: WrittenToken) -> list[Any]:
    """Return a written token as plain data."""
    candidates = [[each.name, each.chance, each.drawn] for each in token.candidates]
    return [token.token, candidates, token.prompt]


def parse_token(record: object) -> WrittenToken:
    """Read what :func:`token_record` returned; raises WorkerAnswerError."""
    token, likely, prompt = _row("a written token", record, 3)
    candidates = []
    for row in _list("candidates", likely, MAX_WRITTEN_CANDIDATES + 1):
        name, chance, drawn = _row("a candidate", row, 3)
        _require(type(drawn) is bool, "drawn must be a boolean", drawn)
        name = _text("a candidate", name)
        candidates.append(WrittenCandidate(name, _number("chance", chance, 0, 1), drawn))
    return WrittenToken(_text("token", token), tuple(candidates), _count("prompt", prompt, MAX_LEN))


def _packed(document: dict[str, Any], files: Sequence[bytes]) -> bytes:
    empty = dict.fromkeys(_FIELDS) | {"version": __version__, "missing": False, "traces": []}
    text = json.dumps(empty | {"written": [], "ended": False} | document).encode()
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, *files])


def _unpack(data: object) -> tuple[dict[str, Any], list[memoryview]]:
    """Split an answer into its document, whose fields are all there, and its trace files."""
    _require(isinstance(data, bytes), "an answer must be bytes", type(data).__name__)
    assert isinstance(data, bytes)  # noqa: S101 - as checked
    _require(len(data) <= MAX_ANSWER_BYTES, "an answer must be smaller", f"{len(data)} bytes")
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    fits = length <= MAX_DOCUMENT_BYTES and start <= len(data)
    _require(fits, "an answer must start with the length of its document", f"{length}")
    try:
        document = json.loads(data[_LENGTH_BYTES:start].decode("utf-8"))
    except (ValueError, RecursionError):
        raise WorkerAnswerError("an answer's document must be JSON") from None
    whole = isinstance(document, dict) and document.keys() == set(_FIELDS)
    _require(whole, f"an answer must have the fields {', '.join(_FIELDS)}", document)
    sizes = [
        _count("the size of a trace", n, MAX_ANSWER_BYTES)
        for n in _list("traces", document["traces"], 2)
    ]
    fits = start + sum(sizes) == len(data)
    _require(fits, "an answer must hold the traces that it lists", f"{len(data)} bytes")
    files = []
    for size in sizes:
        files.append(memoryview(data)[start : start + size])
        start += size
    return document, files


def _parse_trace(file: memoryview) -> Trace:
    try:
        trace = Trace.from_bytes(bytes(file), "trace")
    except TraceFileError as error:
        raise WorkerAnswerError(str(error)) from error
    _require(bool(trace.calls), "a trace must hold an attention call", "none")
    check_computable(trace)
    return trace


def _output_record(output: OutputChange) -> dict[str, Any]:
    return {
        "kind": output.kind,
        "moved": output.moved.tolist(),
        "whole": output.whole,
        "candidates": [
            [[one.token, one.before, one.after] for one in row] for row in output.candidates
        ],
    }


def _parse_output(record: object) -> OutputChange:
    names = {"kind", "moved", "whole", "candidates"}
    _require(isinstance(record, dict) and record.keys() == names, "output must be whole", record)
    assert isinstance(record, dict)  # noqa: S101 - as checked
    kind = record["kind"]
    _require(kind in ("embedding", "prediction"), "kind must be embedding or prediction", kind)
    # A cosine distance; rounding may exceed its bound.
    moved = [_number("moved", n, 0, 2.001) for n in _list("moved", record["moved"], MAX_LEN)]
    candidates = []
    for row in _list("candidates", record["candidates"], MAX_LEN):
        likely = []
        for one in _list("candidates", row, MAX_CANDIDATES):
            token, before, after = _row("a candidate", one, 3)
            chances = (_number("a probability", n, 0, 1.001) for n in (before, after))
            likely.append(Candidate(_text("a candidate", token), *chances))
        candidates.append(tuple(likely))
    whole = _number("whole", record["whole"], 0, 2.001)
    return OutputChange(kind, np.array(moved), whole, tuple(candidates))


def _parse_writer(record: object) -> Writer | None:
    if record is None:
        return None
    name, tokens, limit = _row("writer", record, 3)
    counts = (_count("a count of tokens", n, MAX_COUNT) for n in (tokens, limit))
    return Writer(_text("writer", name), *counts)


def _parse_importance(record: object) -> tuple[NDArray[np.float64], ...] | None:
    if record is None:
        return None
    rows = [_list("importance", row, MAX_LEN) for row in _list("importance", record, MAX_LEN)]
    return tuple(
        np.array([math.nan if n is None else _number("importance", n) for n in row]) for row in rows
    )


def _check_together(answer: Answer) -> None:
    """Check what the parts of an answer must agree in."""
    if len(answer.traces) == 2:
        rows = [[(call.layer, call.heads, call.key_len) for call in one] for one in answer.traces]
        same = rows[0] == rows[1] and len({one.query_tokens for one in answer.traces}) == 1
        _require(same, "two traces must be of the same model and text", "others")
        _require(answer.output is not None, "two traces must come with the change", "none")
    if not answer.traces:
        return
    length = answer.traces[0].calls[0].query_len
    if answer.output is not None:
        moved, candidates = len(answer.output.moved), len(answer.output.candidates)
        fits = 0 < moved <= length and candidates in (0, moved)
        _require(fits, f"the change must be of {length} tokens", f"{moved} and {candidates}")
    if answer.written:
        fits = answer.written[0].prompt + len(answer.written) <= length
        _require(fits, f"text and written tokens must be {length}", f"{len(answer.written)}")


def _require(holds: bool, rule: str, value: object) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise WorkerAnswerError(f"{rule}; got {value if isinstance(value, str) else short(value)}")


def _list(name: str, entries: object, most: int) -> Sequence[Any]:
    fits = isinstance(entries, list | tuple) and len(entries) <= most
    _require(fits, f"{name} must be a list of at most {most}", entries)
    assert isinstance(entries, list | tuple)  # noqa: S101 - as checked
    return entries


def _row(name: str, entries: object, count: int) -> Sequence[Any]:
    row = _list(name, entries, count)
    _require(len(row) == count, f"{name} must be {count} entries", row)
    return row


def _text(name: str, text: object, most: int = MAX_TEXT_CHARS) -> str:
    _require(
        isinstance(text, str) and len(text) <= most,
        f"{name} must be text of at most {most} characters",
        short(text),
    )
    return str(text)


def _count(name: str, number: object, most: int) -> int:
    fits = isinstance(number, int) and type(number) is int and 0 <= number <= most
    _require(fits, f"{name} must be an integer of 0 to {most}", number)
    assert isinstance(number, int)  # noqa: S101 - as checked
    return number


def _number(name: str, number: object, low: float = -1e300, high: float = 1e300) -> float:
    fits = type(number) in (int, float) and low <= number <= high  # type: ignore[operator]  # a number
    _require(fits, f"{name} must be a number from {low:g} to {high:g}", number)
    return float(number)  # type: ignore[arg-type]  # as checked
