"""A reader's notes on a trace: marks of a cell, a row or a head, with words, as one JSON document.

The document is ``attnpanel.notes/1``, which the page exports, imports and a report holds. It is
hostile input: every field is checked, and what the schema does not name is left out.
`browser/notes.js` holds the same rules for the page.
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

from attnpanel.rules import check_choice, check_count, check_text, check_time

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
# A part of ISO 8601 that Python and a browser read alike.
TIME = re.compile(
    r"(?!0000)\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
)


@dataclass(frozen=True)
class Note:
    """One mark and its words.

    Attributes
    ----------
    kind : {"cell", "row", "head"}
        What is marked: one weight, all that one query looks at, or a whole head.
    layer : int
        The attention call, from 0.
    head : int or None
        The head, from 0; None is the mean over heads.
    batch : int
        The sequence, from 0.
    text : str
        The words, which may be none; shown as text, never as markup.
    created : str
        ISO 8601 time with its zone.
    query_index : int or None
        The query of a cell or row.
    key_index : int or None
        The key of a cell.
    query, key : str
        Their tokens, for people; never looked up.
    address : str
        The choices under which the note was written, as the address bar holds them.
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
    """Return the notes of a document that anybody may have written.

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
        The first rule that is broken, and what came.
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
    """Return notes as a document that :func:`read_notes` and the page's *Import* take.

    Parameters
    ----------
    notes : iterable of Note
    trace : Trace, optional
        What they are about: the page tells a reader who imports them elsewhere.
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
        If the file is no such document. The message names the file, the rule and what came.
    OSError
        If it can't be read.
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


def given_notes(
    notes: str | Mapping[str, Any] | PathLike[str] | None, trace: Trace | None = None
) -> tuple[str, tuple[Note, ...]]:
    """Return the words and the marks that a report is given as its notes.

    Parameters
    ----------
    notes : str, mapping or path, optional
        Markdown; a document of notes; or the path, not as a str, of a file of either: what ends
        in ``.json`` is a document.
    trace : Trace, optional
        As for :func:`read_notes`.

    Returns
    -------
    (str, tuple of Note)
        Markdown, "" where there is none; the notes.
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
    """Return the notes of all lists in order, the same note once."""
    return tuple(dict.fromkeys(note for notes in lists for note in notes))


def trace_identity(trace: Trace) -> str:
    """Return a short text that is the same for the same tokens, model, shapes and first head."""
    shapes = [[call.layer, *shape] for call, shape in zip(trace.calls, extents(trace), strict=True)]
    about = [trace.source, trace.model, trace.query_tokens, trace.key_tokens, shapes]
    digest = hashlib.sha256(json.dumps(about).encode())
    if trace.calls:
        first = trace.calls[0]
        array = first.query if first.query is not None else first.recorded_weights
        if array is not None:
            digest.update(array[0, 0].tobytes())  # one head tells two seeds of the toy apart
    return digest.hexdigest()[:16]


def extents(trace: Trace) -> list[list[int]]:
    """Return [batch, heads, queries, keys] of each call: where a note may point."""
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
            _check_place(note, trace)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return note


def _check_place(note: Note, trace: Trace) -> None:
    if note.layer >= len(trace.calls):
        raise ValueError(f"layer must be below {len(trace.calls)} here; got {note.layer}")
    limits = zip(
        ("batch", "head", "query_index", "key_index"), extents(trace)[note.layer], strict=True
    )
    for name, limit in limits:
        number = getattr(note, name)
        if number is not None and number >= limit:
            raise ValueError(f"{name} must be below {limit} here; got {number}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name}, which is not JSON")
