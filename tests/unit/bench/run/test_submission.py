"""`bench submit`: what is refused, and the page that is made of what was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read, write
from attnpanel.bench.run.submission import FOLDER, NEVER, PAGE, refusals, results_page, submitted
from tests.unit.bench.run.sample_runs import sample_run

RUN = sample_run()


def row_of(page, implementation):
    """The cells of the first row of an implementation, an empty one before the first."""
    rows = ([cell.strip("| ") for cell in line.split(" | ")] for line in page.splitlines())
    return ["", *next(row for row in rows if row[0] == implementation)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"finished": False}, "must be finished"),
        ({"environment": replace(RUN.environment, dirty=True)}, "clean checkout"),
        ({"environment": replace(RUN.environment, dirty=None, commit=None)}, "clean checkout"),
        ({"environment": replace(RUN.environment, load_before=(9.0, 1.0, 1.0))}, "busy"),
        ({"timings": ()}, "no case was timed"),
        (
            {"implementations": ("mine:FAST",), "agreements": (), "timings": ()},
            "only this repository's implementations can be compared; got mine:FAST",
        ),
    ],
)
def test_a_run_that_is_no_evidence_is_refused_and_nothing_is_written(
    change, words, tmp_path, capsys
):
    write(replace(RUN, **change), tmp_path / "run.json")
    folder = tmp_path / "results"

    status = main(["submit", str(tmp_path / "run.json"), "--folder", str(folder)])

    assert status == 1
    assert words in capsys.readouterr().err
    assert not folder.exists()


def test_a_run_is_copied_once_without_serial_numbers_and_put_on_the_page(tmp_path):
    machine = {"gpu 0": "name NVIDIA H200; driver_version 580; uuid GPU-1234"}
    write(replace(RUN, machine=machine), tmp_path / "run.json")
    command = ["submit", str(tmp_path / "run.json"), "--folder", str(tmp_path / "results")]

    assert [main(command), main(command)] == [0, 0]

    (copy,) = (tmp_path / "results").glob("*.json")
    assert copy.name.startswith("a-made-up-cpu-2-cores-2026-11-22-")
    assert read(copy, BenchRun).machine == {"gpu 0": "name NVIDIA H200; driver_version 580"}
    page = (tmp_path / "results" / PAGE).read_text(encoding="utf-8")
    assert row_of(page, "numpy-naive")[2].startswith("142.00 ms")
    assert row_of(page, "attnpanel.bench.adapters.flash_attn2:attention")[2] == "never run by us"
    assert "GPU-1234" not in page


def test_machines_stand_side_by_side_and_of_each_the_newest_run():
    other = replace(
        sample_run(faster=2), environment=replace(RUN.environment, cpu_model="Another | CPU")
    )
    newer = sample_run(date="2026-12-01T00:00:00+00:00", faster=4)

    page = results_page([newer, RUN, other])

    times = [cell.partition(" ")[0] for cell in row_of(page, "numpy-naive")[2:4]]
    assert sorted(times) == ["35.50", "71.00"]
    assert r"Another \| CPU, 2 cores" in page


def test_a_gpu_s_runs_bear_its_name():
    cases = tuple(replace(case, request=replace(case.request, device="cuda")) for case in RUN.cases)
    run = replace(
        RUN,
        cases=cases,
        agreements=(),
        timings=(),
        machine={"gpu 0": "name NVIDIA H200; driver_version 580"},
    )

    assert "## NVIDIA H200, 2026-11-22" in results_page([run])


def test_the_page_in_the_repository_is_made_of_the_files_beside_it():
    runs = submitted(FOLDER)

    assert (FOLDER / PAGE).read_text(encoding="utf-8") == results_page(runs)
    assert [refusals(run) for run in runs] == [[] for _ in runs]
    assert NEVER in results_page([RUN])
