"""What goes into a report: chosen layers and heads, with the numbers they have in the model."""

from __future__ import annotations

import re

import pytest

import attnpanel as ap
from attnpanel.__main__ import main
from attnpanel.explorer.address import apply_address
from attnpanel.explorer.wire_format import make_payload
from attnpanel.pages.explorer.report import _kept_marks, provenance, save_report
from attnpanel.trace import Trace
from attnpanel.trace.notes import Note
from tests.hand_made import call, trace_of


@pytest.fixture(scope="module")
def six():
    return trace_of(*(call(index, heads=5) for index in range(6)))


def opens_at(path):
    text = path.read_text(encoding="utf-8")
    return tuple(int(re.search(rf'\["{name}", (\d+)\]', text)[1]) for name in ("layer", "head"))


def test_a_trace_writes_its_own_report(six, tmp_path):
    path = six.report(tmp_path / "a.html", title="My own", layers=[1, 4])

    assert path == tmp_path / "a.html"
    text = path.read_text(encoding="utf-8")
    assert "<title>My own</title>" in text
    assert text.count('"layer.4"') > 0
    assert text.count('"layer.3"') == 0


def test_a_report_opens_by_the_numbers_of_the_whole(six, tmp_path):
    path = save_report(six, tmp_path / "a.html", layers=[1, 4], heads=[0, 3], layer=4, head=3)

    assert opens_at(path) == (1, 1)


def test_an_explorers_place_is_kept_where_it_is_in_the_part(six, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "attnpanel.pages.explorer.report.render_report",
        lambda part, **options: asked.append((part, options["choices"])) or [],
    )
    explorer = ap.Explorer(six, layer=4, head=3)

    for part in ({"layers": [1, 4]}, {"heads": [0, 3]}, {"layers": 5}):
        save_report(explorer, tmp_path / "a.html", **part)

    places = [ap.Explorer(part, **choices).state for part, choices in asked]
    assert [(place.layer, place.head) for place in places] == [(1, 3), (4, 1), (0, 0)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": [1, 4], "layer": 2}, "layer must be among 1, 4; got 2"),
        ({"heads": [1, 4], "head": 0}, "head must be among 1, 4; got 0"),
        ({"layers": 6}, "layers must be among 0–5; got 6"),
        ({"layers": "no*"}, "layers must match the name of a layer"),
    ],
)
def test_what_is_not_in_the_part_is_one_clear_error_and_no_file(six, tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        save_report(six, tmp_path / "a.html", **options)

    assert list(tmp_path.iterdir()) == []


def test_what_is_no_trace_is_one_clear_error(tmp_path):
    with pytest.raises(ValueError, match="a Trace of at least one attention call; got str"):
        save_report("trace.safetensors", tmp_path / "a.html")


def test_a_report_says_which_layers_and_heads_were_left_out(six):
    def said(part):
        return " ".join(provenance(part, make_payload(part)))

    assert "Left out" not in said(six)
    assert "Left out" not in said(six.select(range(6)))
    assert "chose: layers 0, 2, 3, 5 of 6." in said(six.select([1, 4]))
    assert "chose: layers 0–2, 4, 5 of 6; heads 0, 2–4 of 5." in said(six.select(3, 1))


def test_a_folder_is_no_place_for_a_report(six, tmp_path):
    with pytest.raises(IsADirectoryError, match=f"{tmp_path} is a folder"):
        save_report(six, tmp_path)


@pytest.fixture
def asked(monkeypatch, six, tmp_path):
    """What the command line asks save_report() for."""
    six.save(tmp_path / "six.safetensors")
    got = []

    def save(trace, path, **options):
        got.append(options)
        path.write_text("")
        return path

    monkeypatch.setattr("attnpanel.pages.explorer.report.save_report", save)

    def run(*arguments):
        trace, out = str(tmp_path / "six.safetensors"), str(tmp_path / "a.html")
        assert main(["report", trace, "-o", out, *arguments]) == 0
        return got.pop()

    return run


def test_the_command_line_chooses_layers_heads_and_where_to_open(asked):
    options = asked("--layers", "0,3,5-7", "--heads", "1, 4", "--mask", "causal", "--layer", "3")

    assert options["layers"] == [0, 3, 5, 6, 7]
    assert options["heads"] == [1, 4]
    assert (options["mask"], options["layer"]) == ("causal", 3)
    assert "temperature" not in options
    options = asked("--layers", "*encoder*", "--temperature", "0.5", "--dtype", "float32")
    assert (options["layers"], options["heads"]) == ("*encoder*", None)
    assert (options["temperature"], options["dtype"]) == (0.5, "float32")


@pytest.mark.parametrize(
    "arguments",
    [["--heads", "1-"], ["--heads", "all"], ["--layers", "1,,2"], ["--dtype", "float64"]],
)
def test_numbers_that_are_none_are_exit_status_2(asked, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        asked(*arguments)

    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_layer_that_does_not_exist_is_one_line(six, tmp_path, capsys):
    six.save(tmp_path / "six.safetensors")
    arguments = [str(tmp_path / "six.safetensors"), "-o", str(tmp_path / "a.html")]

    assert main(["report", *arguments, "--layers", "9"]) == 1

    out, err = capsys.readouterr()
    assert (out, err) == ("", "attnpanel: layers must be among 0–5; got 9\n")
    assert Trace.load(tmp_path / "six.safetensors").layer_numbers == tuple(range(6))


# -- the numbers on the page -----------------------------------------------------------------


def test_a_part_is_shown_with_the_numbers_of_the_whole(six):
    explorer = ap.Explorer(six.select([1, 4], [0, 3]), layer=1, head=1)

    described = [
        (one["number"], one["headNumbers"]) for one in explorer.bridge.component.meta["calls"]
    ]
    assert described == [(1, [0, 3]), (4, [0, 3])]
    assert (
        explorer.bridge.component.meta["layerCount"],
        explorer.bridge.component.meta["headCount"],
    ) == (6, 5)


@pytest.mark.slow
def test_a_link_names_layers_and_heads_by_the_numbers_of_the_whole(six):
    state = ap.Explorer(six.select([1, 4], [0, 3])).state

    assert apply_address(state, {"layer": "4", "head": "3"}) == []
    assert (state.layer, state.head) == (1, 1)
    assert apply_address(state, {"layer": "0", "head": "1"}) == [
        "Layer: “0” does not apply here.",
        "Head: “1” does not apply here.",
    ]


def test_the_page_is_told_the_numbers(six):
    meta = make_payload(six.select([1, 4], [0, 3])).meta

    assert [one["number"] for one in meta["calls"]] == [1, 4]
    assert [one["headNumbers"] for one in meta["calls"]] == [[0, 3]] * 2
    assert (meta["layerCount"], meta["headCount"]) == (6, 5)
    whole = make_payload(six).meta
    assert (whole["layerCount"], whole["headCount"]) == (6, None)


def test_notes_go_where_their_layer_and_head_went_and_stay_out_with_them(six):
    def note(layer, head):
        return Note("head", layer, head, 0, "", "2026-01-02T03:04:05+00:00")

    marks = (note(1, 3), note(4, 0), note(4, 2), note(2, 3), note(4, None))

    def kept(*part):
        return [(mark.layer, mark.head) for mark in _kept_marks(marks, six, six.select(*part))]

    assert kept([1, 4], [0, 3]) == [(0, 1), (1, 0)]
    # The mean is over the same heads: a note on it still holds.
    assert kept(4) == [(0, 0), (0, 2), (0, None)]
    assert kept() == [(mark.layer, mark.head) for mark in marks]
