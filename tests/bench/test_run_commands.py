"""`python -m bench run`, `list`, `show`, `compare`, as typed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from attnpanel.kernels import IMPLEMENTATIONS
from bench.__main__ import main
from bench.bench_run import BenchRun
from bench.results import read
from bench.run_commands import in_words

HERE = "tests.bench.made_kernels:"
PRESET = """
about = "made"
certificates = "none"
rounds = 3
samples_per_round = 2
row_budget_s = 0.1
[[timed]]
T = [5, 7, 11]
masks = ["causal"]
heads = 3
head_dim = 13
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of three implementations, as the command line leaves it."""
    folder = tmp_path_factory.mktemp("made")
    preset, output = folder / "mine.toml", folder / "run.json"
    preset.write_text(PRESET)
    names = [HERE + name for name in ("RIGHT", "WRONG", "ABORTING")]
    arguments = ["run", "--preset", str(preset), "--implementations", *names, "-o", str(output)]
    assert main(arguments) == 0
    return preset, output


def test_a_run_is_written_under_the_name_of_its_preset(made):
    found = read(made[1], BenchRun)

    assert (found.preset, found.finished) == ("mine", True)
    assert [one.status for one in found.timings] == ["timed", "not certified", "crashed"] * 3


def test_show_prints_times_limits_and_why_there_is_none(made, capsys):
    assert main(["show", str(made[1])]) == 0

    shown = capsys.readouterr().out
    assert "**causal B1 H3 T5 D13 float32 randn**" in shown
    assert f"- {HERE}ABORTING: crashed; crashed: ended by signal 6 (SIGABRT)" in shown
    assert "| p in time" not in shown
    assert "limits of cpu, float32, 1 threads: products " in shown


def test_the_short_table_has_no_time_for_what_is_not_certified(made, capsys):
    assert main(["show", str(made[1]), "--markdown", "--T", "7"]) == 0

    lines = capsys.readouterr().out.splitlines()
    right, wrong, aborting = (
        next(line for line in lines if f"`{HERE}{name}`" in line)
        for name in ("RIGHT", "WRONG", "ABORTING")
    )
    assert "3 of 3" in right
    assert "0 of 3" in wrong
    assert "not certified" in wrong
    assert "crashed" in aborting


def test_a_length_that_was_not_timed_is_refused(made, capsys):
    assert main(["show", str(made[1]), "--markdown", "--T", "9"]) == 1

    assert "T must be one of the timed [5, 7, 11]; got 9" in capsys.readouterr().err


def test_a_run_compared_with_itself_is_the_same(made, capsys):
    assert main(["compare", str(made[1]), str(made[1]), "--fail-if-slower"]) == 0

    # How many are AMBIGUOUS is for this machine to say.
    said = capsys.readouterr().out
    assert "0 FASTER, 0 SLOWER, " in said
    assert said.count("| 1.000 |") == 3


def test_a_run_is_not_written_over(made, capsys):
    preset, output = made
    before = output.read_bytes()

    assert main(["run", "--preset", str(preset), "-o", str(output)]) == 1

    assert "exists: choose another name" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_to_resume_one_says_what(capsys):
    assert main(["run", "--resume"]) == 1

    assert "name it with -o" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["show"], ["compare", "{}"]])
@pytest.mark.parametrize("content", ["", "{", '{"schema": "attnpanel.bench-run/9"}'])
def test_a_damaged_file_is_one_error(tmp_path, capsys, command, content):
    path = tmp_path / "run.json"
    path.write_text(content)

    assert main([*(part.format(path) for part in command), str(path)]) == 1

    error = capsys.readouterr().err
    assert error.startswith(f"bench: {path} is not a result of the bench: ")
    assert error.count("\n") == 1


def test_what_a_terminal_would_take_for_a_command_is_not_shown(made, tmp_path, capsys):
    hostile = made[1].read_text().replace("signal 6", "signal \\u001b]0;owned\\u0007| 6")
    path = tmp_path / "run.json"
    path.write_text(hostile)

    assert main(["show", str(path)]) == 0

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "signal ]0;owned\\| 6" in shown


def test_list_names_every_implementation_and_preset(capsys):
    assert main(["list"]) == 0

    listed = capsys.readouterr().out
    for one in IMPLEMENTATIONS:
        assert f" {one.name} " in listed
    for name in ("smoke", "quick", "full", "exhaustive", "gpu"):
        assert f" {name} " in listed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "time left not known yet"),
        (12.4, "about 12 s left"),
        (89.9, "about 90 s left"),
        (150, "about 2 min left"),
    ],
)
def test_the_time_left_is_no_more_exact_than_it_is_known(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_and_keeps_what_is_done(tmp_path, number):
    preset, output = tmp_path / "mine.toml", tmp_path / "run.json"
    preset.write_text(PRESET)
    arguments = ["--preset", str(preset), "-o", str(output)]
    names = [HERE + "RIGHT", HERE + "HANGING"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *arguments, "--implementations", *names],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and "pass" not in _text(output):
        time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"bench: stopped; what is done is in {output}: go on by the same command with" in said
    assert "Traceback" not in said
    found = read(output, BenchRun)
    assert not found.finished
    assert "pass" in [one.verdict for one in found.agreements]


def _text(path) -> str:
    return path.read_text() if path.exists() else ""
