"""A file that is no trace is one clear error."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save

from attnpanel.trace import Trace
from attnpanel.trace import file_header as trace_header
from attnpanel.trace.trace import TraceFileError
from tests.unit.trace.trace_files import assert_refused, joined


def test_a_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "none.trace")


def test_a_folder_or_a_pipe_is_not_a_trace(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceFileError, match="must be a file; got a folder"):
        Trace.load(tmp_path)
    with pytest.raises(TraceFileError, match="pipe: a trace must be a file; got something else"):
        Trace.load(tmp_path / "pipe")


def test_a_file_over_the_cap_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.trace"
    with path.open("wb") as file:
        file.truncate(trace_header.MAX_FILE_BYTES + 1)  # a hole: takes no room on disk

    with pytest.raises(TraceFileError, match="at most 4294967296 bytes; got 4294967297"):
        Trace.load(path)


def test_a_file_name_cannot_break_out_of_its_line():
    with pytest.raises(TraceFileError) as caught:
        Trace.from_bytes(b"", "a\n\x1b[31m" + "b" * 999)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_file_cut_anywhere_is_refused(good):
    header_end = 8 + int.from_bytes(good[:8], "little")
    cuts = {*range(12), *range(0, len(good), 97), *range(header_end - 3, header_end + 3)}
    for cut in sorted(cuts | {len(good) - 1}):
        with pytest.raises(TraceFileError, match=r"^cut: "):
            Trace.from_bytes(good[:cut], "cut")
    assert_refused(good + b"\0", "bytes of data; got")


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused(seed):
    noise = np.random.default_rng(seed).bytes(1 + 37 * seed)
    # The second one has a header length that fits, so that the noise is read as a header.
    for content in (noise, len(noise).to_bytes(8, "little") + noise):
        with pytest.raises(TraceFileError, match=r"^upload: "):
            Trace.from_bytes(content)


class Explosive:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_other_formats_are_named_and_never_executed():
    archive, array = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("data.pkl", pickle.dumps(Explosive()))
    np.savez(array, query=np.zeros(3))

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert_refused(pickle.dumps([Explosive()] * 9, protocol), "got a pickle")
    assert_refused(pickle.dumps([Explosive()] * 9, 0), "must start with the length")
    assert_refused(archive.getvalue(), "got a zip or npz file")
    assert_refused(array.getvalue(), "got a zip or npz file")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"schema": "attnpanel.notes/1"}', "JSON, such as notes or a result of the bench"),
        ('\ufeff \n{"a": 1}', "JSON, such as"),
        ("[1, 2, 3, 4]", "JSON"),
        ("<!DOCTYPE html><html>", "a page or XML, such as a report"),
    ],
)
def test_another_kind_of_file_is_named(text, kind):
    assert_refused(text.encode(), f"got {kind}")
    assert_refused(b"", "got 0 in a file of 0 bytes")


# The last is in the file, but over the cap; the one before is under the cap, but not in the file.
@pytest.mark.parametrize("length", [0, 1, 2**63, 2**64 - 1, 19, 8 * 2**20 + 1])
def test_a_header_length_outside_its_cap_is_refused(length):
    content = length.to_bytes(8, "little") + b"{" * (length if 19 < length < 2**60 else 18)
    assert_refused(content, f"2 to 8388608 bytes that are in the file; got {length} in a file")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"not json", "the header must be JSON; got Expecting value"),
        (b"[1, 2]", "the header must be a JSON object; got [1, 2]"),
        (b"\xff\xfe{}", "the header must be JSON; got 'utf-8' codec"),
        ('{"a": 1}'.encode("utf-16-le"), "the header must be JSON; got"),
        (b"[" * 99_999, "the header must be JSON of a few levels; got deeper nesting"),
        (b'{"a":' * 99_999, "the header must be JSON of a few levels; got deeper nesting"),
        (b'{"a": 1, "a": 2}', "the header must be JSON; got an object with the same name twice"),
        (b'{"a": NaN}', "the header must be JSON; got NaN, which is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "the header must be JSON; got Exceeds the limit"),
        (b"{}", "the metadata must hold a trace document; got None"),
        (b'{"__metadata__": {"format": "pt"}}', "must hold a trace document; got {'format': 'pt'}"),
        (b'{"__metadata__": {"trace": {}}}', "must hold a trace document; got {'trace': {}}"),
        (b'{"__metadata__": {"trace": ""}}', "the trace document must be JSON; got Expecting"),
        (b'{"__metadata__": {"trace": "3"}}', "the trace document must be a JSON object; got 3"),
        (b'{"__metadata__": {"trace": "{}"}}', "the schema must be 'attnpanel.trace/1'; got None"),
    ],
)
def test_a_header_that_is_not_ours_is_refused(header, message):
    assert_refused(joined(header, b""), message)


def test_a_safetensors_file_without_a_trace_is_refused():
    assert_refused(save({"w": np.zeros(3)}), "the metadata must hold a trace document; got None")


def test_another_schema_names_both_versions(good):
    content = good.replace(b"attnpanel.trace/1", b"attnpanel.trace/2")
    assert_refused(content, "must be 'attnpanel.trace/1'; got 'attnpanel.trace/2'")
