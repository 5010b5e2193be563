"""The button that saves a file made when it is pressed: Python's side."""

import pytest

from attnpanel.browser import Download


def button(make, monkeypatch):
    said = []
    monkeypatch.setattr(Download, "_send_msg", lambda _self, message: said.append(message))
    return Download(make), said


def test_the_file_goes_to_the_press_that_asked_for_it(monkeypatch):
    download, said = button(lambda: b"<html>", monkeypatch)

    download._handle_msg({"press": 3})

    assert said == [{"press": 3, "content": b"<html>"}]


def test_the_plots_that_were_asked_for_come_with_the_press(monkeypatch):
    download, said = button(lambda: b"".join(download.stills.values()), monkeypatch)
    download.pictures = ["plot"]

    download._handle_msg({"press": 1, "pictures": [["plot", b"png"], ["another", b"x"]]})

    assert said == [{"press": 1, "content": b"png"}]


def test_a_file_that_cannot_be_made_leaves_no_button_waiting(monkeypatch):
    def fail():
        raise RuntimeError("no room")

    download, said = button(fail, monkeypatch)

    with pytest.raises(RuntimeError, match="no room"):
        download._handle_msg({"press": 1})

    assert said == [{"press": 1, "content": None}]
