"""save_report() and `attnpanel report`: one whole file or none, and what went wrong in a line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

import attnpanel as ap
from attnpanel.__main__ import main
from attnpanel.explorer.wire_format import make_payload
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import provenance, save_report
from attnpanel.trace import Trace
from tests.hand_made import call, recorded, trace_of


@pytest.fixture(scope="module")
def toy():
    return toy_trace()


def one_line(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("attnpanel: ")
    return err


# -- the file --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The path that save_report() returns, and the one that it was given."""
    asked = tmp_path_factory.mktemp("written") / "a.html"
    return ap.save_report(trace_of(call(0), model="a <b>model</b> & more"), str(asked)), asked


def test_a_report_is_written_and_its_path_returned(written):
    path, asked = written

    assert path == asked
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.endswith("</html>\n")
    assert [one.name for one in path.parent.iterdir()] == ["a.html"]


def test_the_title_is_what_the_trace_is_of_unless_given(written):
    text = written[0].read_text(encoding="utf-8")

    assert "<title>Attention of a &lt;b&gt;model&lt;/b&gt; &amp; more</title>" in text


def test_a_report_can_be_read_by_others_as_files_usually_can(written):
    assert stat.S_IMODE(written[0].stat().st_mode) & 0o444 == 0o444


def test_an_explorer_is_saved_with_its_choices_and_left_as_it_was(toy, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("a tile was computed")

    explorer = ap.Explorer(toy, head=2, temperature=0.5, mask="causal", dark=True)
    # The page computes its overview itself.
    monkeypatch.setattr("attnpanel.explorer.state.overview_tile", refuse)

    text = save_report(explorer, tmp_path / "a.html", head=3).read_text(encoding="utf-8")

    for choice in ('["head", 3]', '["temperature", 0.5]', '["mask", "causal"]', '["dark", true]'):
        assert choice in text
    assert explorer.state.head == 2
    assert explorer.bridge.component.state["head"] == 2


# -- what goes wrong -------------------------------------------------------------------------


def test_an_empty_trace_is_one_clear_error_and_no_file(tmp_path):
    with pytest.raises(ValueError, match="at least one attention call; got none"):
        save_report(Trace(), tmp_path / "a.html")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("choices", [{"head": 4}, {"layer": 1}, {"mask": "model"}, {"hed": 1}])
def test_a_choice_that_does_not_exist_is_an_error_and_no_file(toy, tmp_path, choices):
    with pytest.raises((ValueError, TypeError)):
        save_report(toy, tmp_path / "a.html", **choices)

    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def older(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("the older report", encoding="utf-8")
    return path


@pytest.fixture
def rendered(monkeypatch):
    """A page in no time: these tests are about what comes after it."""
    monkeypatch.setattr(
        "attnpanel.pages.explorer.report.render_report", lambda *_args, **_options: ["newer"]
    )


def assert_untouched(older):
    assert older.read_text(encoding="utf-8") == "the older report"
    assert [one.name for one in older.parent.iterdir()] == [older.name]


@pytest.mark.usefixtures("rendered")
def test_a_disk_that_fills_up_leaves_the_older_file_alone(toy, older, monkeypatch):
    real = Path.open

    def full(path, mode="r", **kwargs):
        file = real(path, mode, **kwargs)
        if mode != "w":
            return file

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

            def write(self, text):
                file.write(text[:1000])
                raise OSError(28, "No space left on device")

        return Full()

    monkeypatch.setattr(Path, "open", full)

    with pytest.raises(OSError, match="No space left on device"):
        save_report(toy, older)

    assert_untouched(older)


@pytest.mark.usefixtures("rendered")
@pytest.mark.parametrize(("where", "step"), [(os, "fsync"), (Path, "chmod"), (Path, "replace")])
def test_a_failure_on_the_way_to_the_disk_leaves_the_older_file_alone(
    toy, older, monkeypatch, where, step
):
    def fail(*_args, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(where, step, fail)

    with pytest.raises(OSError, match="Input/output error"):
        save_report(toy, older)

    assert_untouched(older)


@pytest.mark.usefixtures("rendered")
def test_an_interrupt_leaves_the_older_file_alone(toy, older, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        save_report(toy, older)

    assert_untouched(older)


def test_a_failure_before_anything_is_written_leaves_the_older_file_alone(toy, older):
    with pytest.raises(ValueError, match="head"):
        save_report(toy, older, head=99)

    assert_untouched(older)


@pytest.mark.usefixtures("rendered")
def test_a_newer_report_replaces_the_older_one(toy, older):
    save_report(toy, older)

    assert older.read_text(encoding="utf-8") == "newer"


def test_a_missing_folder_is_an_error_that_names_it(toy, tmp_path):
    with pytest.raises(OSError, match="missing") as failed:
        save_report(toy, tmp_path / "missing" / "a.html")

    assert ".tmp" not in str(failed.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.posix
@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write everywhere")
def test_a_folder_one_may_not_write_is_an_error(toy, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        save_report(toy, tmp_path / "a.html")
    tmp_path.chmod(0o700)

    assert list(tmp_path.iterdir()) == []


# -- where its numbers come from -------------------------------------------------------------


def lines_of(trace, **options):
    return " ".join(provenance(trace, make_payload(trace, **options)))


def test_a_report_says_where_its_numbers_come_from():
    trace = Trace([call(0)], source="capture", model="a/model", created="2026-01-02T03:04:05+00:00")

    said = lines_of(trace)

    for part in ("capture", "a/model", "2026-01-02T03:04:05+00:00", "float16", "attnpanel"):
        assert part in said
    assert "left out" not in said
    assert "recorded" not in said


def test_a_report_says_what_was_left_out_and_why():
    assert "Values were left out" in lines_of(trace_of(call(0)), values=False)
    assert "left out" not in lines_of(trace_of(call(0, values=False)), values=False)


def test_a_report_of_weights_alone_does_not_speak_of_queries_that_it_has_not():
    said = lines_of(trace_of(recorded(0), recorded(1)))

    assert "shown as it was recorded: scores, mix, another temperature or mask need" in said
    assert "computed in this page" not in said
    assert "Some layers" not in said


def test_a_report_says_where_weights_alone_were_recorded():
    assert "recorded weights only" in lines_of(trace_of(recorded(0), call(1, query_len=5)))


def test_a_report_names_both_ways_in_which_its_numbers_are_stored():
    wide = call(1)
    object.__setattr__(wide, "query", wide.query * np.float32(1e6))

    said = lines_of(trace_of(call(0), wide))

    assert "float16, float32" in said


# -- the command line ------------------------------------------------------------------------


@pytest.mark.usefixtures("rendered")
def test_the_command_line_writes_the_toy(tmp_path, capsys):
    path = tmp_path / "toy.html"

    assert main(["report", "--toy", "-o", str(path)]) == 0

    size = path.stat().st_size / 1e6
    assert capsys.readouterr().out.startswith(f"{path}: {size:.1f} MB")


def test_the_command_line_writes_a_trace_file_with_title_and_notes(tmp_path, capsys):
    trace_of(call(0)).save(tmp_path / "a.safetensors")
    (tmp_path / "notes.md").write_text("# Seen\n\nA **bold** claim.\n", encoding="utf-8")
    arguments = [str(tmp_path / "a.safetensors"), "--title", "Mine", "--values", "no"]
    arguments += ["--notes", str(tmp_path / "notes.md"), "-o", str(tmp_path / "a.html")]

    assert main(["report", *arguments]) == 0

    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<title>Mine</title>" in text
    assert "&lt;strong&gt;bold&lt;/strong&gt;" in text
    assert "Values were left out" in text


@pytest.mark.model
def test_the_command_line_writes_a_prompt(tmp_path, capsys):
    path = tmp_path / "prompt.html"

    assert main(["report", "--prompt", "The cat sat.", "-o", str(path)]) == 0

    text = path.read_text(encoding="utf-8")
    assert "minilm" in text
    assert '"cat"' in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["report"],
        ["report", "--toy"],
        ["report", "--toy", "--prompt", "both", "-o", "a.html"],
        ["report", "--toy", "--values", "perhaps", "-o", "a.html"],
    ],
)
def test_a_wrong_argument_is_exit_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)

    assert stopped.value.code == 2
    assert "usage: attnpanel report" in capsys.readouterr().err


def test_a_trace_that_is_not_there_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none.safetensors"), "-o", str(tmp_path / "a.html")]) == 1

    assert "none.safetensors" in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_trace_is_one_line(tmp_path, capsys):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"not a trace at all")

    assert main(["report", str(bad), "-o", str(tmp_path / "a.html")]) == 1

    assert one_line(capsys)
    assert list(tmp_path.iterdir()) == [bad]


def test_notes_that_are_not_there_are_one_line(tmp_path, capsys):
    arguments = ["--notes", str(tmp_path / "none.md"), "-o", str(tmp_path / "a.html")]

    assert main(["report", "--toy", *arguments]) == 1

    assert "none.md" in one_line(capsys)


def test_notes_that_are_no_text_are_one_line(tmp_path, capsys):
    (tmp_path / "notes.md").write_bytes(b"\xff\xfe\x00bad")
    arguments = ["--notes", str(tmp_path / "notes.md"), "-o", str(tmp_path / "a.html")]

    assert main(["report", "--toy", *arguments]) == 1

    assert one_line(capsys)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys):
    assert main(["report", "--toy", "-o", str(tmp_path / "missing" / "a.html")]) == 1

    said = one_line(capsys)
    assert str(tmp_path) in said
    assert ".tmp" not in said
    assert list(tmp_path.iterdir()) == []


def test_an_empty_trace_file_is_one_line(tmp_path, capsys):
    path = Path(tmp_path / "empty.safetensors")
    Trace().save(path)

    assert main(["report", str(path), "-o", str(tmp_path / "a.html")]) == 1

    assert "at least one attention call" in one_line(capsys)
