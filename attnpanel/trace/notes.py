"""A reader's notes on cells, rows and heads of a trace, as one JSON document.

The document is ``attnpanel.notes/1``, which the page exports and imports and a report contains. It
is not trusted: every field is checked, and fields that the schema does not have are dropped.
`js/core/notes.js` holds the same rules for the page.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Literal

from attnpanel.attention.validation import check_choice, check_count, check_text, check_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnpanel.trace import Trace

SCHEMA = "attnpanel.notes/1"
MAX_FILE_BYTES = 4_000_000
MAX_NOTES = 1000
MAX_TEXT_CHARS = 4000
MAX_TOKEN_CHARS = 200
MAX_ADDRESS_CHARS = 1000
KINDS = ("cell", "row", "head")
# The part of ISO 8601 that Python and browsers parse in the same way.
TIME = re.compile(
    r"(?!0000)\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
)


@dataclass(frozen=True)
class Note:
    """A mark on a trace with its text.

    Attributes
    ----------
    kind : {"cell", "row", "head"}
        What is marked: one weight, all weights of one query, or a whole head.
    layer : int
        The attention call, from 0.
    head : int or None
        The head, from 0; None is the mean over heads.
    batch : int
        The sequence, from 0.
    text : str
        The reader's words; may be empty. Shown as text, never as markup.
    created : str
        ISO 8601 time with its zone.
    query_index : int or None
        The query of a cell or row.
    key_index : int or None
        The key of a cell.
    query, key : str
        Their tokens, for readers; never looked up.
    address : str
        The explorer's choices when the note was written, as in the page's address.
    """

    kind: Literal["cell", "row", "head"]
    layer: int
    head: int | None
    batch: int
    text: str
    created: str
    query_index: int | None = None
    key_index: int | None = None
    query: str = ""
    key: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        for name in ("layer", "batch"):
            check_count(name, getattr(self, name))
        if self.head is not None:
            check_count("head", self.head)
        for name, kinds in (("query_index", ("cell", "row")), ("key_index", ("cell",))):
            number = getattr(self, name)
            if self.kind in kinds:
                check_count(name, number)
            elif number is not None:
                raise ValueError(f"a {self.kind} has no {name}; got {short(number)}")
        for name, most in (
            ("text", MAX_TEXT_CHARS),
            ("query", MAX_TOKEN_CHARS),
            ("key", MAX_TOKEN_CHARS),
            ("address", MAX_ADDRESS_CHARS),
        ):
            text = getattr(self, name)
            check_text(name, text)
            if len(text) > most:
                raise ValueError(f"{name} must have at most {most} characters; got {len(text)}")
        check_time("created", self.created)
        if TIME.fullmatch(self.created) is None:
            raise ValueError(
                f"created must read like 2026-01-31T23:59:00Z; got {short(self.created)}"
            )


NOTE_FIELDS = tuple(field.name for field in fields(Note))


def read_notes(document: object, trace: Trace | None = None) -> tuple[Note, ...]:
    """Parse an untrusted document of notes.

    Parameters
    ----------
    document : object
        What JSON of the schema ``attnpanel.notes/1`` parses to.
    trace : Trace, optional
        Where given, every note must mark something in it.

    Returns
    -------
    tuple of Note
        In the document's order.

    Raises
    ------
    ValueError
        The first broken rule, and the value that broke it.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"notes must be a JSON object; got {short(document)}")  # noqa: TRY004 - one error type for a bad file
    if document.get("schema") != SCHEMA:
        raise ValueError(
            f"notes must have the schema {SCHEMA!r}; got {short(document.get('schema'))}"
        )
    records = document.get("notes")
    if not isinstance(records, list | tuple):
        raise ValueError(f"notes must be a list; got {short(records)}")  # noqa: TRY004 - one error type for a bad file
    if len(records) > MAX_NOTES:
        raise ValueError(f"there may be at most {MAX_NOTES} notes; got {len(records)}")
    return tuple(_read_note(i, record, trace) for i, record in enumerate(records, start=1))


def notes_document(notes: Iterable[Note], trace: Trace | None = None) -> dict[str, Any]:
    """Return notes as a document that :func:`read_notes` and the page's *Import* accept.

    Parameters
    ----------
    notes : iterable of Note
    trace : Trace, optional
        The trace of the notes: the page warns a reader who imports them elsewhere.
    """
    records = [
        {name: value for name, value in asdict(note).items() if value is not None or name == "head"}
        for note in notes
    ]
    about = {} if trace is None else {"trace": trace_identity(trace)}
    return {"schema": SCHEMA, **about, "notes": records}


def load_notes(path: str | PathLike[str], trace: Trace | None = None) -> tuple[Note, ...]:
    """Read an exported file of notes; parameters as for :func:`read_notes`.

    Raises
    ------
    ValueError
        If the file is no such document. The message has the file, the rule and the value.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: a file of notes may have at most {MAX_FILE_BYTES / 1e6:.0f} MB")
    try:
        document = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: notes must be JSON; got {error}") from None
    try:
        return read_notes(document, trace)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def report_notes(
    notes: str | Mapping[str, Any] | PathLike[str] | None, trace: Trace | None = None
) -> tuple[str, tuple[Note, ...]]:
    """Split the `notes` argument of a report into Markdown and notes.

    Parameters
    ----------
    notes : str, mapping or path, optional
        Markdown; a document of notes; or the path, not as a str, of a file of either, which is a
        document if it ends in ``.json``.
    trace : Trace, optional
        As for :func:`read_notes`.

    Returns
    -------
    (str, tuple of Note)
        Markdown, "" if there is none; the notes.
    """
    if notes is None or isinstance(notes, str):
        return notes or "", ()
    if not isinstance(notes, PathLike):
        return "", read_notes(notes, trace)
    path = Path(notes)
    if path.suffix.lower() == ".json":
        return "", load_notes(path, trace)
    return path.read_text(encoding="utf-8"), ()


def merge_notes(*lists: Iterable[Note]) -> tuple[Note, ...]:
    """Return the notes of all lists in order, without duplicates."""
    return tuple(dict.fromkeys(note for notes in lists for note in notes))


def trace_identity(trace: Trace) -> str:
    """Return a short hash of a trace's tokens, model, shapes and first head."""
    shapes = [
        [call.layer, *sizes] for call, sizes in zip(trace.calls, call_sizes(trace), strict=True)
    ]
    about = [trace.source, trace.model, trace.query_tokens, trace.key_tokens, shapes]
    digest = hashlib.sha256(json.dumps(about).encode())
    if trace.calls:
        first = trace.calls[0]
        array = first.query if first.query is not None else first.recorded_weights
        if array is not None:
            digest.update(array[0, 0].tobytes())  # one head distinguishes two seeds of the toy
    return digest.hexdigest()[:16]


def call_sizes(trace: Trace) -> list[list[int]]:
    """Return [batch, heads, queries, keys] of each call: the limits of a note's indices."""
    return [[call.batch, call.heads, call.query_len, call.key_len] for call in trace.calls]


def _read_note(number: int, record: object, trace: Trace | None) -> Note:
    where = f"note {number}"
    if not isinstance(record, dict):
        raise ValueError(f"{where} must be a JSON object; got {short(record)}")  # noqa: TRY004 - one error type for a bad file
    missing = [
        name for name in ("kind", "layer", "head", "batch", "text", "created") if name not in record
    ]
    if missing:
        raise ValueError(f"{where} must have a {missing[0]}; got {short(sorted(map(str, record)))}")
    try:
        note = Note(**{name: record[name] for name in NOTE_FIELDS if name in record})
        if trace is not None:
            _check_indices(note, trace)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return note


def _check_indices(note: Note, trace: Trace) -> None:
    if note.layer >= len(trace.calls):
        raise ValueError(f"layer must be below {len(trace.calls)} here; got {note.layer}")
    limits = zip(
        ("batch", "head", "query_index", "key_index"), call_sizes(trace)[note.layer], strict=True
    )
    for name, limit in limits:
        number = getattr(note, name)
        if number is not None and number >= limit:
            raise ValueError(f"{name} must be below {limit} here; got {number}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which is not JSON")
