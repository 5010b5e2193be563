"""notes.js: the page reads notes by the rules of annotations.py, and draws what they mark."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnpanel.annotations import Note, notes_document, read_notes
from tests.browser_kernel.conftest import WHAT_TO_DO, Kernel, KernelError
from tests.hostile_notes import BAD, EXTENTS, GOOD, changed, document

PLACE = {"layer": 0, "head": 1, "batch": 0}
SHOWN = {"left": -0.5, "right": 6.5, "top": -0.5, "bottom": 4.5}
NOW = "2026-01-31T23:59:00Z"


@pytest.fixture(scope="module")
def notes(root: Path) -> Iterator[Kernel]:
    """The exports of notes.js, in Node."""
    node = shutil.which("node")
    if node is None and os.environ.get("CI") == "true":
        pytest.fail(WHAT_TO_DO)
    if node is None:
        pytest.skip(WHAT_TO_DO)
    command = [
        node,
        Path(__file__).with_name("driver.mjs"),
        root / "attnpanel/browser/notes.js",
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield Kernel(process.stdin, process.stdout)
        process.stdin.close()


def cell(query: int, key: int, /, **fields) -> dict:
    place = {"layer": 0, "head": 1, "batch": 0, "query_index": query, "key_index": key}
    return {"kind": "cell", **place, "text": "", "created": NOW, **fields}


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


def test_merging_adds_what_is_new_and_keeps_the_order(notes):
    first, other = cell(1, 2), cell(1, 2, text="other words")

    assert notes("mergeNotes", [first, row(3)], [other, first, other]) == [first, row(3), other]


def test_a_note_says_what_it_marks_and_where(notes):
    told = notes("describeNote", cell(4, 3, query="it", key="trophy", head=None, batch=2))
    assert told == ["cell", "it → trophy", "layer 0, mean of heads, batch 2"]
    assert notes("describeNote", row(4, query=" \n")) == ["row", "␣\\n", "layer 0, head 1"]
    assert notes("describeNote", row(4)) == ["row", "4", "layer 0, head 1"]
    assert notes("describeNote", head(3, 1)) == ["head", "layer 3, head 1", ""]


def test_going_to_a_note_brings_its_own_place_whatever_its_address_says(notes):
    note = cell(4, 3, address="layer=9&mean=1&head=7&token=9&mask=causal&temperature=0.5")

    address = dict(part.split("=") for part in notes("addressOf", note).split("&"))

    assert address == {
        "layer": "0",
        "mean": "0",
        "head": "1",
        "token": "4",
        "batch": "0",
        "mask": "causal",
        "temperature": "0.5",
    }


def test_a_cell_is_outlined_and_numbered_at_its_corner(notes):
    marks = notes("heatmapMarks", [head(0, 1), cell(2, 3)], PLACE, SHOWN)

    outline = [marks[side] for side in ("left", "right", "top", "bottom")]
    assert outline == [[2.5], [3.5], [1.5], [2.5]]
    assert [marks["x"], marks["y"], marks["text"]] == [[3.5], [1.5], ["2"]]
    assert [marks["dx"], marks["dy"]] == [[0], [0]]


def test_a_number_at_the_edge_of_the_picture_is_not_cut(notes):
    marks = notes("heatmapMarks", [cell(0, 6)], PLACE, SHOWN)

    assert marks["dx"][0] < 0 < marks["dy"][0]  # to the left of the edge, and below the top


def test_a_row_is_numbered_at_the_end_that_is_on_screen(notes):
    marks = notes("heatmapMarks", [row(3)], PLACE, SHOWN | {"right": 4.25})

    assert [marks["x"], marks["y"], marks["text"]] == [[4.25], [3], ["◂ 1"]]
    assert all(math.isnan(marks[side][0]) for side in ("left", "right", "top", "bottom"))


def test_only_the_shown_layer_head_and_batch_are_marked(notes):
    elsewhere = [cell(1, 1, **other) for other in ({"layer": 1}, {"head": None}, {"batch": 1})]

    assert notes("heatmapMarks", [*elsewhere, head(0, 1)], PLACE, SHOWN)["text"] == []
    assert notes("heatmapMarks", elsewhere, PLACE | {"head": None}, SHOWN)["text"] == ["2"]


def test_notes_on_one_place_share_a_number(notes):
    marks = notes("heatmapMarks", [cell(1, 1)] * 2 + [row(1)] * 5, PLACE, SHOWN)

    assert marks["text"] == ["1,2", "◂ 3,4,+3"]


def test_heads_are_numbered_on_their_tiles_and_the_mean_at_its_row(notes):
    given = [head(1, 2), cell(1, 1), head(0, None), head(1, 2, batch=1)]

    marks = notes("gridMarks", given, PLACE, SHOWN)

    assert marks["text"] == ["1", "mean 3"]
    assert [marks["x"], marks["y"]] == [[1.5, 6.5], [0.5, -0.5]]


def test_a_good_document_is_read(notes):
    assert notes("readNotes", changed(), EXTENTS) == [GOOD]
