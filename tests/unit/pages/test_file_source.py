"""Files that a page sends in chunks, and those that the operator names."""

from types import SimpleNamespace

import pytest

from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import FileSource
from attnpanel.trace import Trace
from tests.hand_made import call, trace_of


def send(chooser, *, name="mine.safetensors", **message):
    chooser._on_message(SimpleNamespace(data={"name": name, **message}))


def upload(chooser, data, step):
    for offset in range(0, len(data), step):
        chunk = data[offset : offset + step]
        send(chooser, chunk=chunk, offset=offset, size=len(data))


@pytest.mark.parametrize("step", [97, 10**9])
def test_a_file_arrives_in_chunks_and_is_shown(reader, chooser, file_bytes, step):
    upload(chooser, file_bytes, step)

    ((trace, _),) = reader.shown
    assert trace.calls[0].query_len == 3
    assert reader.said == []


def test_a_second_file_replaces_the_first(reader, chooser, file_bytes):
    upload(chooser, file_bytes, 97)
    upload(chooser, file_bytes, 10**9)

    assert len(reader.shown) == 2


def test_a_file_that_is_no_trace_is_one_sentence_and_the_next_one_is_read(
    reader, chooser, file_bytes
):
    upload(chooser, b"PK\x03\x04 not a trace at all", 10)

    assert reader.shown == []
    ((tone, text),) = reader.said
    assert tone == "error"
    assert text.startswith("mine.safetensors: ")
    assert text.endswith("What was shown before is still here.")
    upload(chooser, file_bytes, 10**9)
    assert len(reader.shown) == 1


def test_a_trace_without_calls_is_refused(reader, chooser, tmp_path):
    path = tmp_path / "none.safetensors"
    Trace().save(path)

    upload(chooser, path.read_bytes(), 10**9)

    assert reader.shown == []
    assert [tone for tone, _ in reader.said] == ["error"]


@pytest.mark.parametrize(
    "message",
    [
        {"chunk": b"x" * 50, "offset": 7, "size": 100},
        {"chunk": b"x" * 50, "offset": -1, "size": 100},
        {"chunk": b"x" * 50, "offset": 0, "size": 49},
        {"chunk": b"x" * 50, "offset": 0, "size": -1},
        {"chunk": b"x" * 50, "offset": 0, "size": 1_000_001},
        {"chunk": b"x" * 50, "offset": 0, "size": 10**30},
        {"chunk": b"x" * 50, "offset": 0, "size": float("nan")},
        {"chunk": b"x" * 50, "offset": 0, "size": None},
        {"chunk": b"x" * 50, "offset": "0", "size": 100},
        {"chunk": b"x" * 50, "offset": None, "size": 100},
        {"chunk": "x" * 50, "offset": 0, "size": 50},
        {"chunk": None, "offset": 0, "size": 50},
        {"chunk": [1, 2], "offset": 0, "size": 2},
        {"chunk": b"x" * 1_000_001, "offset": 0, "size": 1_000_001},
        {"chunk": b"x" * 1_000_001, "offset": 0, "size": 100},
        {},
    ],
    ids=lambda message: str({k: v for k, v in message.items() if k != "chunk"}),
)
def test_a_hostile_chunk_is_dropped_said_and_followed_by_a_good_file(
    reader, chooser, file_bytes, message
):
    send(chooser, **message)

    assert reader.shown == []
    assert sum(map(len, chooser._parts)) == 0
    assert [tone for tone, _ in reader.said] == ["error"]
    upload(chooser, file_bytes, 97)
    assert len(reader.shown) == 1


def test_chunks_out_of_order_are_not_put_together(reader, chooser, file_bytes):
    size = len(file_bytes)
    send(chooser, chunk=file_bytes[:50], offset=0, size=size)
    send(chooser, chunk=file_bytes[150:], offset=150, size=size)

    assert reader.shown == []
    assert [tone for tone, _ in reader.said] == ["error"]
    # The missing part alone completes nothing.
    send(chooser, chunk=file_bytes[50:150], offset=50, size=size)
    assert reader.shown == []


def test_a_repeated_start_never_keeps_more_than_one_file(chooser):
    for _ in range(5):
        send(chooser, chunk=b"x" * 400_000, offset=0, size=900_000)

    assert sum(map(len, chooser._parts)) == 400_000


@pytest.mark.parametrize("data", [None, 5, "chunk", [], b"bytes"])
def test_what_is_no_message_is_ignored(reader, chooser, data):
    chooser._on_message(SimpleNamespace(data=data))

    assert (reader.shown, reader.said) == ([], [])


def test_a_refusal_by_the_page_is_said_in_short(reader, chooser):
    chooser._on_message(SimpleNamespace(data={"refused": "too large " * 100}))

    ((tone, text),) = reader.said
    assert tone == "error"
    assert len(text) == 300


def test_a_hostile_file_name_is_cut(reader, chooser):
    send(chooser, name="x" * 10_000, chunk=b"junk", offset=0, size=4)

    assert len(reader.said[0][1]) < 600


def test_a_named_trace_is_offered_and_chosen_by_a_link(reader):
    traces = {"a": trace_of(call(0)), "b": trace_of(call(1))}
    chooser = FileSource(reader.show, reader.say, ServerSettings(traces=traces))

    chooser.open()
    assert reader.shown[-1][0] is traces["a"]
    chooser.restore({"trace": "b"})
    chooser.open()
    assert reader.shown[-1][0] is traces["b"]
    assert chooser.address() == {"trace": "b"}
    problems = chooser.restore({"trace": "/etc/passwd"})
    assert problems == ["This server has no trace with the name in the link."]
    assert chooser.address() == {"trace": "b"}


def test_without_a_file_one_is_asked_for(reader, chooser):
    chooser.open()

    assert reader.shown == []
    ((tone, text),) = reader.said
    assert tone == "plain"
    assert "Choose a trace file" in text
