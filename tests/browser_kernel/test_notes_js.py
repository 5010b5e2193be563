"""notes.js validates notes by the rules of attnpanel/trace/notes.py, and computes their marks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnpanel.trace.notes import Note, notes_document, read_notes
from tests.browser_kernel.conftest import Kernel, KernelError, node_running
from tests.hostile_notes import BAD, EXTENTS, GOOD, changed, document

NOW = "2026-01-31T23:59:00Z"


@pytest.fixture(scope="module")
def notes(root: Path) -> Iterator[Kernel]:
    """The exports of notes.js, in Node."""
    with node_running(root / "js" / "core" / "notes.js") as kernel:
        yield kernel


def row(query: int, /, **fields) -> dict:
    place = {"layer": 0, "head": 1, "batch": 0, "query_index": query}
    return {"kind": "row", **place, "text": "", "created": NOW, **fields}


def head(layer: int, number: int | None, /, **fields) -> dict:
    place = {"layer": layer, "head": number, "batch": 0}
    return {"kind": "head", **place, "text": "", "created": NOW, **fields}


def test_what_the_page_writes_python_reads_and_back(notes):
    from_page = notes("notesDocument", [GOOD, row(2), head(1, None)], "an identity")
    read = read_notes(json.loads(json.dumps(from_page)))

    again = notes("readNotes", json.loads(json.dumps(notes_document(read))), EXTENTS)

    assert [Note(**note) for note in again] == list(read)


def test_what_the_schema_does_not_name_is_left_out(notes):
    extra = {"__proto__": {"polluted": 1}, "constructor": {"name": "x"}, "colour": "red"}

    (note,) = notes("parseNotes", json.dumps(document(GOOD | extra)), EXTENTS)

    assert note == GOOD


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_refused_as_python_refuses_it(notes, name):
    hostile, words = BAD[name]

    with pytest.raises(KernelError, match=words) as refusal:
        notes("parseNotes", json.dumps(hostile), EXTENTS)

    assert str(refusal.value).startswith("Error: ")
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[" * 100_000, '{"schema": "attnpanel.notes/1", "notes": [NaN]}']
)
def test_a_text_that_is_no_document_is_one_sentence(notes, text):
    with pytest.raises(KernelError, match=r"^Error: notes must be ") as refusal:
        notes("parseNotes", text, EXTENTS)

    assert len(str(refusal.value)) < 120


def test_a_good_document_is_read(notes):
    assert notes("readNotes", changed(), EXTENTS) == [GOOD]
