"""The Python side of the download button."""

import threading
from queue import Queue

import pytest

from attnpanel.ui import Download
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.refusals import PageInputError


def button(make, monkeypatch):
    sent = []
    monkeypatch.setattr(Download, "_send_msg", lambda _self, message: sent.append(message))
    return Download(make), sent


def test_the_file_answers_the_press_that_asked_for_it(monkeypatch):
    download, sent = button(lambda: b"<html>", monkeypatch)

    download._handle_msg({"press": 3})

    assert sent == [{"press": 3, "content": b"<html>"}]


@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        ({}, "a message to Download must have the field press"),
        ({"plots": []}, "must have the field press"),
        ({"press": 1, "plots": [["plot", 3_000_000_000]]}, "must be of names and bytes"),
        ({"press": 1, "plots": [["plot", [1, 2]]]}, "must be of names and bytes"),
        ({"press": 1, "plots": ["ab"]}, "must be of names and bytes"),
        ({"press": 1, "plots": [1]}, "must be of names and bytes"),
        ({"press": 1, "plots": [["a", b"", b""]]}, "must be of names and bytes"),
        ({"press": 1, "plots": [[["a"], b""]]}, "must be of names and bytes"),
        ({"press": 1, "plots": [["a", b""]] * 21}, "20"),
    ],
)
def test_a_press_that_is_none_is_refused_before_anything_is_made(sent, rule):
    with pytest.raises(PageInputError, match=rule):
        Download(lambda: b"").check_message(sent)


def test_a_press_with_snapshots_is_taken():
    Download(lambda: b"").check_message({"press": 1, "plots": [["plot", b"png"]]})


def test_only_snapshots_of_the_named_plots_are_kept(monkeypatch):
    download, sent = button(lambda: b"".join(download.snapshots.values()), monkeypatch)
    download.plots = ["plot"]

    download._handle_msg({"press": 1, "plots": [["plot", b"png"], ["another", b"x"]]})

    assert sent == [{"press": 1, "content": b"png"}]


def test_the_button_is_answered_if_the_file_cannot_be_made(monkeypatch):
    def fail():
        raise RuntimeError("no room")

    download, sent = button(fail, monkeypatch)

    with pytest.raises(RuntimeError, match="no room"):
        download._handle_msg({"press": 1})

    assert sent == [{"press": 1, "content": None}]


def test_a_file_that_takes_long_is_made_in_a_thread_and_answers_its_press(monkeypatch):
    sent, made_in = Queue(), []
    monkeypatch.setattr(Download, "_send_msg", lambda _self, message: sent.put(message))

    def write(path):
        made_in.append(threading.get_ident())
        path.write_bytes(b"<html>")

    Download(lambda: DeferredFile(write, sent.put))._handle_msg({"press": 4})

    assert sent.get(timeout=300) == {"press": 4, "content": b"<html>"}
    assert made_in[0] != threading.get_ident()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("notes must be shorter"), "Notes must be shorter."),
        (OSError(28, "No space left on device"), "No space left on device; free some space, or "),
        (ZeroDivisionError("x"), "The server failed (ZeroDivisionError); its log says why."),
    ],
)
def test_why_it_cannot_be_made_is_told_and_the_press_answered(monkeypatch, caplog, error, reason):
    sent = Queue()
    monkeypatch.setattr(Download, "_send_msg", lambda _self, message: sent.put(message))

    def write(_path):
        raise error

    Download(lambda: DeferredFile(write, sent.put))._handle_msg({"press": 5})

    assert sent.get(timeout=300).startswith(reason)
    assert sent.get(timeout=300) == {"press": 5, "content": None}
    assert bool(caplog.records) == isinstance(error, ZeroDivisionError)
