"""Notes: what their document may hold, and what a report does with them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from attnpanel.explorer.explorer import Explorer
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import Trace
from attnpanel.trace.notes import (
    MAX_FILE_BYTES,
    Note,
    call_sizes,
    load_notes,
    merge_notes,
    notes_document,
    read_notes,
    report_notes,
    trace_identity,
)
from tests.hand_made import call
from tests.hostile_notes import BAD, EXTENTS, GOOD, changed, document

NOW = "2026-01-31T23:59:00Z"
CELL = Note("cell", 0, 1, 0, "seen", NOW, query_index=4, key_index=3)
ROW = Note("row", 0, None, 0, "", NOW, query_index=2)
HEAD = Note("head", 0, 3, 0, "a head", NOW)


@pytest.fixture(scope="module")
def trace() -> Trace:
    """Two layers of three heads; the second looks from 5 queries at 7 keys."""
    calls = [call(0), call(1, key_len=7)]
    tokens = [[f"q{i}" for i in range(5)]]
    return Trace(calls, query_tokens=tokens, key_tokens=[[f"k{i}" for i in range(7)]])


def test_notes_come_back_as_they_were_written():
    document = json.loads(json.dumps(notes_document([CELL, ROW, HEAD])))

    assert read_notes(document) == (CELL, ROW, HEAD)


def test_what_the_schema_does_not_name_is_left_out():
    record = json.loads('{"__proto__": {"kind": "head"}, "constructor": 1, "colour": "red"}')

    (note,) = read_notes(document(GOOD | record))

    assert note == Note(**GOOD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_one_clear_error(name, trace):
    assert call_sizes(trace) == EXTENTS
    hostile, words = BAD[name]

    with pytest.raises(ValueError, match=words) as refusal:
        read_notes(hostile, trace)

    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


def test_a_number_that_json_has_not_is_refused():
    with pytest.raises(ValueError, match="layer must be an integer"):
        read_notes(changed(layer=float("nan")))


def test_a_head_has_no_query():
    with pytest.raises(ValueError, match="a head has no query_index; got 4"):
        replace(HEAD, query_index=4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"schema": "attnpanel.notes/1", "notes": [NaN]}', "NaN, which is not JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"\xff\xfe{}", "must be JSON"),
        (b"", "must be JSON"),
        (b'{"schema": 1}', "schema"),
        (b" " * (MAX_FILE_BYTES + 1), "at most 4 MB"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, words):
    path = tmp_path / "notes.json"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=words) as refusal:
        load_notes(path)

    assert str(refusal.value).startswith(f"{path}: ")


def test_the_same_note_counts_once():
    assert merge_notes([CELL, ROW], [ROW, HEAD, CELL]) == (CELL, ROW, HEAD)
    assert len(merge_notes([CELL], [replace(CELL, text="seen again")])) == 2


def test_the_identity_of_a_trace_is_stable_and_distinct():
    identity = trace_identity(toy_trace())

    assert trace_identity(toy_trace()) == identity  # made at another time
    assert trace_identity(toy_trace(seed=7)) != identity
    assert trace_identity(toy_trace(T=5)) != identity
    assert trace_identity(Trace()) != identity


def test_what_a_report_takes_as_notes(tmp_path):
    exported = notes_document([CELL])
    (tmp_path / "a.json").write_text(json.dumps(exported), encoding="utf-8")
    (tmp_path / "a.md").write_text("# É", encoding="utf-8")

    assert report_notes(None) == ("", ())
    assert report_notes("a.json") == ("a.json", ())
    assert report_notes(exported) == ("", (CELL,))
    assert report_notes(tmp_path / "a.json") == ("", (CELL,))
    assert report_notes(tmp_path / "a.md") == ("# É", ())


def test_an_explorer_holds_notes_on_its_trace_only():
    explorer = Explorer(toy_trace())
    explorer.notes = [CELL, ROW]

    assert explorer.notes == (CELL, ROW)
    with pytest.raises(ValueError, match="head must be below 4 here; got 9"):
        explorer.notes = [replace(HEAD, head=9)]
    assert explorer.notes == (CELL, ROW)

    explorer.state.trace = toy_trace(T=3)

    assert explorer.notes == ()


def test_notes_of_the_trace_before_are_not_those_of_the_next():
    explorer = Explorer(toy_trace())
    explorer.notes = [CELL]
    late = explorer.annotations.book  # sent by a page that has not yet heard of the next trace
    explorer.state.trace = toy_trace(T=3)

    explorer.annotations._handle_msg({"book": late})

    assert explorer.notes == ()


def test_the_pages_notes_win_until_python_sets_new_ones():
    explorer = Explorer(toy_trace())
    explorer.notes = [CELL]
    book = explorer.annotations.book

    explorer.annotations._handle_msg({"book": {**book, "notes": []}})
    assert explorer.notes == ()
    assert explorer.annotations._get_properties(None)["data"].book["notes"] == []

    explorer.notes = [HEAD]
    assert explorer.notes == (HEAD,)


@pytest.mark.parametrize(
    "message", [None, 7, [], {"book": 7}, {"book": None}, {"restore": "head=1"}]
)
def test_what_is_no_book_of_notes_leaves_them_as_they_are(message):
    explorer = Explorer(toy_trace())
    explorer.notes = [CELL]

    explorer.annotations._handle_msg(message)

    assert explorer.notes == (CELL,)


def test_what_a_page_sends_as_notes_is_checked():
    explorer = Explorer(toy_trace())
    book = explorer.annotations.book

    for notes in (None, 7, [{}], [GOOD | {"layer": 5}], [0] * 1001):
        explorer.annotations._handle_msg({"book": {**book, "notes": notes}})
        with pytest.raises(ValueError, match="note"):
            _ = explorer.notes


def test_the_plots_have_sources_for_marks_without_tooltips():
    figures = Explorer(toy_trace()).figures

    for name in ("scores", "weights", "grid"):
        marks = [r for r in figures[name].renderers if r.data_source.name == f"attn:marks:{name}"]
        assert marks
        for tool in figures[name].tools:
            told = getattr(tool, "renderers", None) or []
            assert told != "auto"
            assert not set(marks) & set(told)


def test_a_report_refuses_notes_on_another_trace_and_leaves_an_older_file(tmp_path):
    path = tmp_path / "a.html"
    path.write_text("older")

    with pytest.raises(ValueError, match="note 1: layer must be below 1 here; got 1"):
        save_report(toy_trace(), path, notes=changed())

    assert path.read_text() == "older"


def test_a_report_holds_given_notes_and_the_explorers_own(tmp_path):
    cell = replace(CELL, text="a cell")
    explorer = Explorer(toy_trace())
    explorer.notes = [cell]

    path = save_report(explorer, tmp_path / "a.html", notes=notes_document([HEAD, cell]))

    held = path.read_text(encoding="utf-8").rpartition('id="attnpanel-document">')[2]
    text = held.partition("</script>")[0]
    assert text.count('"a cell"') == 1
    assert text.count('"a head"') == 1


def test_hostile_notes_cannot_end_the_element_they_lie_in(tmp_path):
    hostile = "</script><img src=x onerror=alert(1)><!--"

    path = save_report(
        toy_trace(), tmp_path / "a.html", notes=notes_document([replace(CELL, text=hostile)])
    )

    assert hostile not in path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").count("img src=x onerror=alert(1)") == 1
