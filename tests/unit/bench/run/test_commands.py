"""The commands `python -m bench run`, `list`, `show` and `compare`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.run.commands import failures
from attnpanel.bench.run.records import BenchRun, Timing
from attnpanel.bench.run.serialization import read, write
from attnpanel.bench.run.terminal import format_remaining
from attnpanel.kernels import IMPLEMENTATIONS

pytestmark = [
    pytest.mark.slow,  # whole runs, each implementation in a process of its own
    pytest.mark.usefixtures("children_without_torch"),
]
KERNELS = "tests.unit.bench.run.fake_kernels:"
SMALL_LIMITS = Path(__file__).with_name("small_limits")
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
    names = [KERNELS + name for name in ("RIGHT", "WRONG", "ABORTING")]
    arguments = ["run", "--preset", str(preset), "--implementations", *names, "-o", str(output)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SMALL_LIMITS))
        assert main(arguments) == 0
    return preset, output


@pytest.mark.thorough
def test_a_run_is_written_under_the_name_of_its_preset(made):
    found = read(made[1], BenchRun)

    assert (found.preset, found.finished) == ("mine", True)
    assert [timing.status for timing in found.timings] == ["timed", "not certified", "crashed"] * 3


@pytest.mark.thorough
def test_the_limits_are_of_the_same_threads(made):
    (limits,) = read(made[1], BenchRun).limits

    assert (limits.device, limits.dtype, limits.threads) == ("cpu", "float32", 1)
    assert min(limits.gemm_flops_per_s) > 0
    assert min(limits.copy_bytes_per_s) > 0


def test_show_prints_times_limits_and_reasons(made, capsys):
    assert main(["show", str(made[1])]) == 0

    shown = capsys.readouterr().out
    assert "**causal B1 H3 T5 D13 float32 randn**" in shown
    assert f"- {KERNELS}ABORTING: crashed; crashed: ended by signal 6 (SIGABRT)" in shown
    assert "| p in time" not in shown
    assert "limits of cpu, float32, 1 threads: products " in shown


def test_the_short_table_has_no_time_without_a_certificate(made, capsys):
    assert main(["show", str(made[1]), "--markdown", "--T", "7"]) == 0

    lines = capsys.readouterr().out.splitlines()
    right, wrong, aborting = (
        next(line for line in lines if f"`{KERNELS}{name}`" in line)
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
    output = capsys.readouterr().out
    assert "0 FASTER, 0 SLOWER, " in output
    assert output.count("| 1.000 |") == 3, (output, made[1].read_text())


def test_a_comparison_fails_where_a_row_lost_its_certificate(made, tmp_path, capsys):
    worse = tmp_path / "worse.json"
    found = read(made[1], BenchRun)
    lost = {"verdict": "fail", "reasons": ("output: 9 units",)}
    first = found.agreements[0]
    untimed = Timing(first.implementation, first.case, found.timings[0].threads, "not certified")
    write(
        replace(
            found,
            agreements=(replace(first, **lost), *found.agreements[1:]),
            timings=tuple(
                untimed
                if (row.implementation, row.case) == (first.implementation, first.case)
                else row
                for row in found.timings
            ),
        ),
        worse,
    )

    assert main(["compare", str(made[1]), str(worse)]) == 0
    assert f"- WORSE {first.implementation}: {first.case}: certificate" in capsys.readouterr().out
    for option in ("--fail-if-slower", "--fail-if-worse"):
        assert main(["compare", str(made[1]), str(worse), option]) == 1
        assert "bench: 1 rows lost their certificate" in capsys.readouterr().err


def test_what_fails_a_run_is_chosen_on_the_command_line(made):
    found = read(made[1], BenchRun)

    assert failures(found) == []
    (fail,) = failures(found, verdicts=["fail"])
    assert fail.startswith(f"3 rows are fail, the first {KERNELS}WRONG: causal")
    assert [words.split(",")[0] for words in failures(found, verdicts=["fail", "error"])] == [
        "3 rows are fail",
        "3 rows are error",
    ]
    none = replace(
        found,
        agreements=tuple(one for one in found.agreements if one.verdict != "pass"),
        timings=(),
    )
    assert failures(none) == ["nothing was certified"]


@pytest.mark.thorough
def test_an_implementation_that_cannot_be_imported_fails_the_run(tmp_path, capsys):
    preset = tmp_path / "mine.toml"
    preset.write_text(PRESET.replace("T = [5, 7, 11]", "T = [5]"))
    names = [f"{KERNELS}RIGHT", "no_such_module:MINE"]
    arguments = ["--implementations", *names, "--certify-only", "-o", str(tmp_path / "run.json")]

    assert main(["run", "--preset", str(preset), *arguments]) == 1

    error = capsys.readouterr().err
    assert "bench: no_such_module:MINE cannot be imported: ModuleNotFoundError" in error


def test_an_existing_run_is_not_overwritten(made, capsys):
    preset, output = made
    before = output.read_bytes()

    assert main(["run", "--preset", str(preset), "-o", str(output)]) == 1

    assert "exists: choose another name" in capsys.readouterr().err
    assert output.read_bytes() == before


def test_resume_requires_an_output(capsys):
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


def test_a_missing_file_is_named_with_what_to_do(tmp_path, capsys):
    path = tmp_path / "run.json"

    assert main(["show", str(path)]) == 1

    assert capsys.readouterr().err == (
        f"bench: {path}: no such file or directory; check the path, and that its folder exists\n"
    )


def test_control_characters_of_a_file_are_not_printed(made, tmp_path, capsys):
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
    for implementation in IMPLEMENTATIONS:
        assert f" {implementation.name} " in listed
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
def test_the_remaining_time_is_rounded(seconds, words):
    assert format_remaining(seconds) == words


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_and_keeps_its_results(tmp_path, number):
    preset, output = tmp_path / "mine.toml", tmp_path / "run.json"
    preset.write_text(PRESET)
    # Certifying only: measuring limits takes seconds, and it hangs before it times anything.
    arguments = ["--preset", str(preset), "--certify-only", "-o", str(output)]
    names = [KERNELS + "RIGHT", KERNELS + "HANGING"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *arguments, "--implementations", *names],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and "pass" not in _text(output):
        time.sleep(0.1)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=120)

    assert process.returncode == 130
    assert (
        f"bench: stopped; the results so far are in {output}: continue with the same command and"
        in stderr
    )
    assert "Traceback" not in stderr
    found = read(output, BenchRun)
    assert not found.finished
    assert "pass" in [agreement.verdict for agreement in found.agreements]


def _text(path) -> str:
    return path.read_text() if path.exists() else ""
