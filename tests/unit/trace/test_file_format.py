"""Trace files: bit-exact round trips, and one clear error for a bad file."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from attnpanel.trace import AttentionCall, Trace
from attnpanel.trace import file_format as trace_file
from attnpanel.trace import file_header as trace_header
from attnpanel.trace.rotary import Rotary
from attnpanel.trace.token_origins import TokenOrigins
from attnpanel.trace.trace import TraceFileError

B, H, HKV, T, S, D, DV = 2, 6, 3, 5, 7, 11, 13
ARRAYS = ("query", "key", "value", "mask", "bias", "sinks", "recorded_weights")
FIELDS = ("layer", "index", "kind", "causal", "scale", "q_offset", "soft_cap", "rotary")
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "a\x00b\n\r\x1b[31m",
    "\u202e\u2028\ufeff",
    '"\\',
    "{{7*7}}😀",
)


def full_trace():
    """Two calls with every kind of tensor, one mask between them, and hostile texts."""
    rng = np.random.default_rng(3)
    bias = rng.normal(size=(H, T, S)).astype(np.float16)
    bias[0, 0, 0] = -np.inf
    first = AttentionCall(
        HOSTILE[0],
        0,
        kind="cross",
        query=rng.normal(size=(B, H, T, D)).astype(np.float16),
        key=rng.normal(size=(B, HKV, S, D)).astype(np.float32),
        value=rng.normal(size=(B, HKV, S, DV)).astype(np.float16),
        mask=rng.random((B, 1, T, S)) < 0.5,
        bias=bias,
        causal="bottom_right",
        scale=0.1,
        soft_cap=50.0,
        sinks=rng.normal(size=H).astype(np.float32),
        rotary=Rotary("interleaved", 8),
    )
    recorded = rng.random((B, H, T, S)).astype(np.float32)
    recorded[0, 0, 0] = np.nan
    second = AttentionCall("", 1, mask=first.mask.copy(), q_offset=3, recorded_weights=recorded)
    trace = Trace(
        [first, second],
        query_tokens=[HOSTILE, ("",) * T],
        key_tokens=[tuple("ABCDEFG"), tuple("abcdefg")],
        source=HOSTILE[0],
        model="m",
        created="2026-01-02T03:04:05+00:00",
    )
    # Thirds have no short decimals; the model of a nan gives nan.
    trace.head_importance = [np.arange(H) / 3, np.array([np.nan, *np.arange(1, H)])]
    trace.origins = TokenOrigins((("", "na\u00efve", "\u6f22"), ("x",)), "[UNK]")
    return trace


def assert_same(loaded, saved):
    assert (loaded.query_tokens, loaded.key_tokens) == (saved.query_tokens, saved.key_tokens)
    assert (loaded.source, loaded.model, loaded.created) == (
        saved.source,
        saved.model,
        saved.created,
    )
    assert loaded.origins == saved.origins
    assert (loaded.head_importance is None) == (saved.head_importance is None)
    if saved.head_importance is not None:
        np.testing.assert_array_equal(loaded.head_importance, saved.head_importance)
    assert len(loaded.calls) == len(saved.calls)
    for got, expected in zip(loaded.calls, saved.calls, strict=True):
        for field in FIELDS:
            assert getattr(got, field) == getattr(expected, field)
        for field in ARRAYS:
            mine, theirs = getattr(got, field), getattr(expected, field)
            assert (mine is None) == (theirs is None)
            if mine is not None:
                assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
                assert mine.tobytes() == theirs.tobytes()
                assert not mine.flags.writeable


def content_of(trace, tmp_path):
    path = tmp_path / "made.trace"
    trace.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return content_of(full_trace(), tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A trace of one call of one number, so that a fuzzer hits the header often."""
    one = np.ones((1, 1, 1, 1), dtype=np.float32)
    trace = Trace([AttentionCall("l", 0, query=one, key=one)], query_tokens=[["a"]])
    return content_of(trace, tmp_path_factory.mktemp("small"))


def parts(content):
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["trace"])
    return header, document, content[8 + length :]


def joined(header, data, document=None):
    if document is not None:
        header = header | {"__metadata__": {"trace": json.dumps(document)}}
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def assert_refused(content, message, name="upload"):
    with pytest.raises(TraceFileError, match=re.escape(message)) as caught:
        Trace.from_bytes(content, name)
    sentence = str(caught.value)
    assert sentence.startswith(f"{name}: ")
    assert sentence.isprintable()
    assert len(sentence) < 500


def test_a_trace_comes_back_bit_for_bit(tmp_path):
    trace = full_trace()
    path = tmp_path / "full.trace"

    trace.save(path)

    assert_same(Trace.load(path), trace)
    assert_same(Trace.load(str(path)), trace)
    assert_same(Trace.from_bytes(path.read_bytes()), trace)


def test_an_empty_trace_comes_back(tmp_path):
    trace = Trace(created="2026-01-02T03:04:05Z")
    trace.save(tmp_path / "empty.trace")

    assert_same(Trace.load(tmp_path / "empty.trace"), trace)


def test_the_same_trace_gives_the_same_bytes(tmp_path, good):
    assert content_of(full_trace(), tmp_path) == good


FLOAT = st.sampled_from([np.float16, np.float32])
SIZE = st.integers(1, 4)


def finite(dtype, shape):
    width = np.dtype(dtype).itemsize * 8
    return hnp.arrays(
        dtype,
        shape,
        elements=st.floats(width=width, allow_nan=False).filter(lambda x: abs(x) != float("inf")),
    )


@st.composite
def traces(draw):
    batch, group, kv_heads = draw(SIZE), draw(SIZE), draw(SIZE)
    query_len, key_len, head_dim = draw(SIZE), draw(SIZE), draw(SIZE)
    full = (batch, group * kv_heads, query_len, key_len)
    optional = {
        "value": finite(draw(FLOAT), (batch, kv_heads, key_len, draw(SIZE))),
        "mask": hnp.arrays(bool, draw(st.sampled_from([full, full[2:], (), (batch, 1, 1, 1)]))),
        "bias": finite(draw(FLOAT), full[1:]),
        "sinks": finite(draw(FLOAT), full[1:2]),
        "recorded_weights": finite(draw(FLOAT), full),
    }
    calls = []
    for index in range(draw(st.integers(0, 2))):
        chosen = draw(st.sets(st.sampled_from(sorted(optional))))
        calls.append(
            AttentionCall(
                draw(st.text(max_size=5)),
                index,
                kind=draw(st.sampled_from(["self", "cross"])),
                query=draw(finite(draw(FLOAT), (*full[:3], head_dim))),
                key=draw(finite(draw(FLOAT), (batch, kv_heads, key_len, head_dim))),
                causal=draw(st.sampled_from(["none", "top_left", "bottom_right"])),
                scale=draw(st.floats(allow_nan=False, allow_infinity=False)),
                q_offset=draw(st.integers(0, 2**31 - 1)),
                soft_cap=draw(st.none() | st.floats(1e-30, 1e30)),
                rotary=draw(st.sampled_from([None, *[Rotary("half_split", 2)] * (head_dim > 1)])),
                **{name: draw(optional[name]) for name in chosen},
            )
        )
    row = st.lists(st.text(max_size=5), min_size=query_len, max_size=query_len)
    rows = st.lists(row, min_size=batch, max_size=batch)
    return Trace(
        calls,
        query_tokens=draw(rows),
        key_tokens=draw(st.none() | rows),
        source=draw(st.text(max_size=5)),
    )


@settings(max_examples=40, deadline=None)
@given(trace=traces())
def test_any_trace_comes_back_bit_for_bit(trace, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.trace"
    trace.save(path)

    assert_same(Trace.load(path), trace)


def test_a_call_without_cap_and_sinks_is_written_as_before_there_were_any(small):
    _, document, _ = parts(small)

    assert document["calls"][0].keys() == {*FIELDS, "tensors"} - {"soft_cap", "rotary"}
    assert document["calls"][0]["tensors"].keys() == {"query", "key"}
    assert "head_importance" not in document


def test_a_word_longer_than_a_file_takes_keeps_its_beginning(tmp_path):
    trace = Trace(query_tokens=[["[UNK]"]])
    trace.origins = TokenOrigins((("a" * 5000,),), "[UNK]")

    loaded = Trace.from_bytes(content_of(trace, tmp_path), "long.trace")

    assert loaded.origins == TokenOrigins((("a" * 4096,),), "[UNK]")


def test_tokens_can_be_left_out(tmp_path):
    path = tmp_path / "private.trace"
    trace = Trace(query_tokens=[["secret"]], key_tokens=[["hidden"]])
    trace.origins = TokenOrigins((("secret",),))
    trace.save(path, tokens=False)

    assert b"secret" not in path.read_bytes()
    assert b"hidden" not in path.read_bytes()
    assert Trace.load(path).query_tokens == Trace.load(path).key_tokens == ()


def test_equal_masks_are_stored_once_and_shared_after_loading(good):
    header, document, _ = parts(good)

    assert "0.mask" in header
    assert "1.mask" not in header
    assert [call["tensors"]["mask"] for call in document["calls"]] == ["0.mask", "0.mask"]
    first, second = Trace.from_bytes(good).calls
    assert first.mask is second.mask


def test_different_masks_of_one_shape_are_both_stored(tmp_path):
    first, second = full_trace().calls
    trace = Trace([first, replace(second, mask=~first.mask)])

    assert_same(Trace.from_bytes(content_of(trace, tmp_path)), trace)


def test_masks_of_the_same_bytes_and_another_shape_keep_their_shapes(tmp_path):
    # Two numbers a mask: which queries may look, which keys may be looked at, and no axis at all.
    pair = np.zeros((1, 1, 2, 2), dtype=np.float32)
    seen = np.array([True, False])
    masks = [seen[:, None], seen, np.zeros((), dtype=bool)]
    trace = Trace([AttentionCall("l", 0, query=pair, key=pair, mask=mask) for mask in masks])

    assert_same(Trace.from_bytes(content_of(trace, tmp_path)), trace)


def test_arrays_that_do_not_lie_densely_are_saved_as_they_read(tmp_path):
    query = np.arange(B * H * T * D, dtype=np.float32).reshape(D, T, H, B).T
    query.flags.writeable = False
    mask = np.broadcast_to(np.arange(S) < 3, (B, H, T, S))
    trace = Trace(
        [AttentionCall("l", 0, query=query, key=np.zeros((B, HKV, S, D), "f4"), mask=mask)]
    )

    assert_same(Trace.from_bytes(content_of(trace, tmp_path)), trace)


@pytest.mark.parametrize("failing", ["save_file", "_read_outline"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_leaves_the_older_file_and_nothing_else(
    tmp_path, monkeypatch, failing, error
):
    path = tmp_path / "kept.trace"
    path.write_bytes(b"older")

    def fail(*args):
        raise error

    monkeypatch.setattr(trace_file, failing, fail)
    with pytest.raises(type(error)):
        full_trace().save(path)

    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [
        ("kept.trace", b"older")
    ]


@pytest.mark.posix
def test_a_save_killed_before_the_end_leaves_the_older_file(tmp_path):
    path = tmp_path / "kept.trace"
    path.write_bytes(b"older")
    # Killed at the last moment: everything is written, nothing is replaced.
    program = """
import os, pathlib, signal, sys
from attnpanel.trace.trace import Trace
pathlib.Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
Trace().save(sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)

    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"older"


def test_saving_into_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        full_trace().save(tmp_path / "none" / "a.trace")
    with pytest.raises(IsADirectoryError):
        full_trace().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_os_error(tmp_path, monkeypatch):
    def fail(*args):
        raise trace_file.SafetensorError("no space left")

    monkeypatch.setattr(trace_file, "save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        full_trace().save(tmp_path / "a.trace")


@pytest.mark.posix
def test_a_new_file_keeps_the_permissions_of_the_old_one(tmp_path):
    fresh, private = tmp_path / "fresh.trace", tmp_path / "private.trace"
    private.touch()
    private.chmod(0o600)
    before = os.umask(0o027)
    try:
        full_trace().save(fresh)
        full_trace().save(private)
    finally:
        os.umask(before)

    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


@pytest.mark.posix
def test_saving_through_a_link_keeps_the_link(tmp_path):
    target, link = tmp_path / "target.trace", tmp_path / "link.trace"
    link.symlink_to(target)
    full_trace().save(link)

    assert link.is_symlink()
    assert_same(Trace.load(target), full_trace())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_trace_that_could_not_be_loaded_is_not_saved(tmp_path, bad):
    query = np.full((1, 1, 1, 1), bad, dtype=np.float32)
    trace = Trace([AttentionCall("l", 0, query=query, key=query)])

    with pytest.raises(
        TraceFileError, match=rf"a.trace: calls\[0\].query must be finite .* got {bad}"
    ):
        trace.save(tmp_path / "a.trace")
    assert list(tmp_path.iterdir()) == []


def test_more_tokens_than_the_calls_have_positions_are_not_saved(tmp_path):
    trace = full_trace()
    # Seven keys, and the last generated token, which is never an input of the model.
    trace.set_tokens([["a"] * 8])
    trace.save(tmp_path / "a.trace")
    trace.set_tokens([["a"] * 9])
    with pytest.raises(TraceFileError, match=r"query_tokens\[0\] must be a list of at most 8; got"):
        trace.save(tmp_path / "b.trace")
    trace.set_tokens([["a"]] * 3)
    with pytest.raises(TraceFileError, match=r"query_tokens must be a list of at most 2; got 3"):
        trace.save(tmp_path / "c.trace")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.trace"]


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


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("extra",), 1, "the trace document must have the fields schema, source"),
        (("source",), 3, "source must be text of at most 4096 characters; got 3"),
        (("model",), "m" * 4097, "model must be text of at most 4096 characters; got 4097 char"),
        (("origins", "texts"), [[]] * 3, "origins.texts must be a list of at most 2; got 3"),
        (("origins", "texts", 0), "abc", "origins.texts[0] must be a list of at most 8; got 'abc'"),
        (("origins", "texts", 0, 1), "\ud800", "origins must be text that UTF-8 can hold"),
        (("origins", "unknown"), 3, "origins.unknown must be text of at most 4096 characters; got"),
        (("origins", "more"), 3, "origins must have the fields texts, unknown"),
        (("created",), "now", "created must be an ISO 8601 time with its zone; got 'now'"),
        (("created",), None, "created must be text of at most 4096 characters; got None"),
        (("query_tokens",), {"a": 1}, "query_tokens must be a list of at most 2; got {'a': 1}"),
        (("query_tokens", 0), "abcde", "query_tokens[0] must be a list of at most 8; got 'abcde'"),
        (("query_tokens", 1), ["a"] * 9, "query_tokens[1] must be a list of at most 8; got 9"),
        (("key_tokens",), [[]] * 3, "key_tokens must be a list of at most 2; got 3"),
        (("key_tokens", 0, 1), 7, "key_tokens[0][1] must be text of at most 4096 characters; got"),
        (("key_tokens", 0, 1), "a" * 4097, "key_tokens[0][1] must be text of at most 4096 chara"),
        (("key_tokens", 0, 1), "\ud800", "key_tokens[0][1] must be text that UTF-8 can hold; got"),
        (("head_importance",), None, "head_importance must be a list of at most 2; got None"),
        (("head_importance",), [[0] * H], "head_importance must have a list for each of 2 calls"),
        (("head_importance", 1), [0], "head_importance[1] must be a list of 6 numbers; got [0]"),
        (("head_importance", 1), "abcdef", "head_importance[1] must be a list of 6 numbers; got"),
        (("head_importance", 0, 5), "1", "head_importance[0] must be a number; got '1'"),
        (("head_importance", 0, 5), 10**400, "head_importance[0] must be finite; got 1000"),
        (("calls",), 3, "calls must be a list of at most 8192; got 3"),
        (("calls",), [0] * 8193, "calls must be a list of at most 8192; got 8193"),
        (("calls",), [], "every tensor must belong to a call; got '0.bias'"),
        (("calls", 0), 7, "calls[0] must have the fields layer, index, kind, causal, scale"),
        (("calls", 1, "extra"), 7, "calls[1] must have the fields layer, index, kind, causal"),
        (("calls", 1, "layer"), 7, "calls[1].layer must be text of at most 4096 characters; got"),
        (("calls", 1, "index"), -1, "calls[1]: index must be an integer from 0 to 2147483647"),
        (("calls", 1, "index"), 2**31, "calls[1]: index must be an integer from 0 to 2147483647"),
        (("calls", 1, "index"), True, "calls[1]: index must be an integer from 0 to 2147483647"),
        (("calls", 1, "q_offset"), 0.5, "calls[1]: q_offset must be an integer from 0 to 2147483"),
        (("calls", 1, "kind"), "own", "calls[1]: kind must be one of self, cross; got 'own'"),
        (("calls", 1, "kind"), ["self"], "calls[1]: kind must be one of self, cross; got ['self']"),
        (("calls", 1, "causal"), None, "calls[1]: causal must be one of none, top_left, bottom"),
        (("calls", 0, "scale"), "1", "calls[0]: scale must be a number; got '1'"),
        (("calls", 0, "scale"), True, "calls[0]: scale must be a number; got True"),
        (("calls", 0, "soft_cap"), -1, "calls[0]: soft_cap must be positive, within float32; got"),
        (("calls", 0, "soft_cap"), "1", "calls[0]: soft_cap must be a number; got '1'"),
        (("calls", 0, "rotary"), "half_split", "calls[0]: rotary must be a layout and a number"),
        (("calls", 0, "rotary"), [["half_split"], 2], "calls[0]: rotary must be a layout and a"),
        (
            ("calls", 0, "rotary"),
            ["twisted", 2],
            "calls[0]: rotary.layout must be one of",
        ),
        (("calls", 0, "rotary"), ["half_split", 3], "calls[0]: rotary.channels must be even"),
        (
            ("calls", 0, "rotary"),
            ["half_split", "2"],
            "calls[0]: rotary.channels must be an",
        ),
        (
            ("calls", 0, "rotary"),
            ["half_split", 12],
            "calls[0]: rotary.channels must be at most",
        ),
        (("calls", 0, "tensors", "sinks"), "0.key", "calls[0]: sinks must have shape (H,) = (6,)"),
        (("calls", 0, "scale"), 10**400, "calls[0]: scale must be finite; got 1000"),
        (("calls", 0, "tensors"), [], "calls[0].tensors must be among query, key, value, mask"),
        (("calls", 0, "tensors", "z"), "0.key", "calls[0].tensors must be among query, key, value"),
        (("calls", 0, "tensors", "key"), "9.key", "calls[0].key must name a tensor of the file"),
        (("calls", 0, "tensors", "key"), ["0.key"], "calls[0].key must name a tensor of the file"),
        (("calls", 0, "tensors", "key"), 9, "calls[0].key must name a tensor of the file; got 9"),
        (("calls", 0, "tensors", "key"), "0.value", "calls[0]: query and key must agree in B and"),
        (("calls", 0, "tensors", "key"), "0.mask", "calls[0]: key must be a NumPy array of float"),
        (("calls", 0, "tensors", "mask"), "0.bias", "calls[0]: mask must be a NumPy array of bool"),
        (("calls", 1, "tensors", "mask"), "1.recorded_weights", "calls[1]: mask must be a NumPy"),
    ],
)
def test_a_document_with_one_wrong_field_is_refused(good, where, value, message):
    header, document, data = parts(good)
    place = document
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value

    assert_refused(joined(header, data, document), message)


def test_a_missing_field_is_refused(good):
    header, document, data = parts(good)
    for name in set(document) - {"schema", "head_importance", "origins"}:
        left = {field: value for field, value in document.items() if field != name}
        assert_refused(joined(header, data, left), "the trace document must have the fields")
    # Only a soft-capped call names its cap.
    for name in set(document["calls"][0]) - {"soft_cap", "rotary"}:
        call = {field: value for field, value in document["calls"][0].items() if field != name}
        changed = document | {"calls": [call, document["calls"][1]]}
        assert_refused(joined(header, data, changed), "calls[0] must have the fields")


def test_a_number_beyond_every_float_is_refused(good):
    header, document, data = parts(good)
    header["__metadata__"]["trace"] = json.dumps(document).replace('"scale": 0.1', '"scale": 1e999')
    assert_refused(joined(header, data), "calls[0]: scale must be finite; got inf")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "F64"}, "tensor '0.query' must be one of F16, F32, BOOL, I32, U8; got 'F64'"),
        ({"dtype": ["F16"]}, "must be one of F16, F32, BOOL, I32, U8; got ['F16']"),
        ({"dtype": "F32"}, "tensor '0.query' must take 2640 bytes; got offsets"),
        ({"shape": [B, H, T, D, 1]}, "must have up to four axes of 1 to 65536; got [2, 6, 5, 11"),
        ({"shape": [B, H, T, -D]}, "must have up to four axes of 1 to 65536; got [2, 6, 5, -11]"),
        ({"shape": [B, H, T, 0]}, "must have up to four axes of 1 to 65536; got [2, 6, 5, 0]"),
        ({"shape": [2**62, 4, 1, 1]}, "must have up to four axes of 1 to 65536; got [4611686"),
        ({"shape": [65536] * 4}, "must take 36893488147419103232 bytes; got offsets"),
        ({"shape": [2.0, H, T, D]}, "must have up to four axes of 1 to 65536; got [2.0, 6"),
        ({"shape": 660}, "must have up to four axes of 1 to 65536; got 660"),
        ({"shape": [B, H, D, T]}, "calls[0]: query and key must agree in B and D; got (2, 6, 11"),
        ({"shape": [B * H, T, D]}, "calls[0]: query must have four axes, none of them empty; got"),
        ({"data_offsets": [-1320, 0]}, "must have two data offsets; got [-1320, 0]"),
        ({"data_offsets": [0, 1320, 0]}, "must have two data offsets; got [0, 1320, 0]"),
        ({"data_offsets": "01"}, "must have two data offsets; got '01'"),
        ({"data_offsets": [0, 1320]}, "tensors must follow each other; got"),
        ({"data_offsets": [10**6, 10**6 + 1320]}, "tensors must follow each other; got"),
        ({"data_offsets": [1320, 0]}, "must take 1320 bytes; got offsets [1320, 0]"),
        ({"more": 1}, "tensor '0.query' must have the fields dtype, shape, data_offsets"),
    ],
)
def test_a_tensor_that_does_not_fit_its_bytes_is_refused(good, change, message):
    # The query is 2 * 6 * 5 * 11 numbers of two bytes, 1320 in all, and not the first tensor.
    header, document, data = parts(good)
    header["0.query"] |= change

    assert_refused(joined(header, data, document), message)


def test_a_tensor_of_no_call_is_refused(good):
    header, document, data = parts(good)
    header["9.query"] = {"dtype": "BOOL", "shape": [1], "data_offsets": [len(data), len(data) + 1]}

    assert_refused(
        joined(header, data + b"\0", document), "every tensor must belong to a call; got '9.query'"
    )


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("query", np.nan, "finite"),
        ("key", np.inf, "finite"),
        ("value", -np.inf, "finite"),
        ("sinks", np.nan, "finite"),
        ("bias", np.nan, "finite or -inf"),
        ("bias", np.inf, "finite or -inf"),
        ("recorded_weights", np.inf, "finite or nan"),
        ("mask", 2, "0 or 1"),
    ],
)
def test_a_number_nothing_can_be_computed_with_is_refused(good, field, value, rule):
    header, document, data = parts(good)
    index = 1 if field == "recorded_weights" else 0
    entry = header[f"{index}.{field}"]
    dtype = {"F16": np.float16, "F32": np.float32, "BOOL": np.uint8}[entry["dtype"]]
    bad = np.array(value, dtype).tobytes()
    end = entry["data_offsets"][1]
    content = joined(header, data[: end - len(bad)] + bad + data[end:], document)

    message = f"calls[{index}].{field} must be {rule} throughout; got {value}"
    assert_refused(content, message)


@pytest.mark.parametrize(
    ("query", "key", "message"),
    [
        # 2**15 * 2**14 pairs: two small tensors that would ask for 2 GiB a head.
        ((1, 1, 2**15, 1), (1, 1, 2**14, 1), "query_len * key_len must be at most 268435456"),
        ((1, 2**10 + 1, 1, 1), (1, 1, 1, 1), "heads must be at most 1024; got 1025"),
        ((2**12 + 1, 1, 1, 1), (2**12 + 1, 1, 1, 1), "batch must be at most 4096; got 4097"),
        ((1, 1, 1, 2**14 + 1), (1, 1, 1, 2**14 + 1), "head_dim must be at most 16384; got 16385"),
    ],
)
def test_sizes_over_the_caps_are_refused_saving_and_loading(
    tmp_path, monkeypatch, query, key, message
):
    trace = Trace([AttentionCall("l", 0, query=np.zeros(query, "f2"), key=np.zeros(key, "f2"))])
    with pytest.raises(TraceFileError, match=re.escape(f"calls[0]: {message}")):
        trace.save(tmp_path / "big.trace")
    monkeypatch.setattr(trace_header, "_check_sizes", lambda *_: None)
    content = content_of(trace, tmp_path)
    monkeypatch.undo()

    assert_refused(content, f"calls[0]: {message}")


def assert_trace_or_one_error(content):
    try:
        trace = Trace.from_bytes(content, "fuzz")
    except TraceFileError as error:
        assert str(error).startswith("fuzz: ")  # noqa: PT017 - both outcomes are right
        return
    for call in trace.calls:
        assert call.visible(0).shape == (call.query_len, call.key_len)


@settings(max_examples=300, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=3), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_changed_bytes_give_a_trace_or_one_error(small, edits):
    content = bytearray(small)
    for place, new, insert in edits:
        start = place % len(content)
        content[start : start if insert else start + len(new)] = new
    assert_trace_or_one_error(bytes(content))
    # With the length repaired, so that the change gets past the first check.
    end = content.rfind(b"}") + 1
    repaired = max(0, end - 8).to_bytes(8, "little") + content[8:end] + small[-8:]
    assert_trace_or_one_error(bytes(repaired))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=JSON)
def test_any_json_in_any_place_gives_a_trace_or_one_error(good, data, value):
    header, document, tail = parts(good)
    place = data.draw(st.sampled_from([header, document]))
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and isinstance(metadata.get("trace"), str):
        metadata["trace"] = json.dumps(document)
    assert_trace_or_one_error(joined(header, tail))
