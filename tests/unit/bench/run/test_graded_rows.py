"""What is graded or interpreted in tables, plots, CSV, comparisons and files of older schemas."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace

import pytest

from attnpanel.bench.page.run_cards import certificate_lines
from attnpanel.bench.plots.families import curves, families, missing
from attnpanel.bench.plots.matrix import cell_text
from attnpanel.bench.run.comma_separated import run_csv
from attnpanel.bench.run.compare import regressions
from attnpanel.bench.run.records import Agreement, BenchRun, Grade
from attnpanel.bench.run.serialization import read, write
from attnpanel.bench.run.statuses import INTERPRETED, why_untimed
from attnpanel.bench.run.tables import certificates, grades, readme_table, run_table, timing_table
from tests.unit.bench.run.sample_runs import sample_run, timing_cases

NAME = "numpy-online"
CASE = timing_cases()[0]
WHY = ("not attention to rounding: 8 bits", "cosine 0.99")


def graded(case, **changes) -> Agreement:
    made = Agreement(NAME, case.name, "graded", "computed", WHY, (), max_ratio=55.0)
    return replace(made, grade=Grade(0.99, 0.02, 0.003), **changes)


def run_with_graded() -> BenchRun:
    run = sample_run()
    others = tuple(one for one in run.agreements if one.implementation != NAME)
    return replace(run, agreements=others + tuple(graded(case) for case in timing_cases()))


def test_a_graded_row_is_in_a_table_of_its_own_and_not_ranked():
    ranked, apart = timing_table(run_with_graded(), CASE).split("Graded, so not ranked:")

    assert NAME not in ranked
    assert "torch-eager" in ranked
    (row,) = (line for line in apart.splitlines() if NAME in line)
    assert [cell.strip() for cell in row.split("|")][4] == ""  # × fastest
    assert NAME in timing_table(sample_run(), CASE)
    assert NAME not in readme_table(run_with_graded())


def test_grades_have_a_table_and_are_no_pass():
    run = run_with_graded()
    (row,) = (line for line in grades(run).splitlines() if NAME in line)
    counts = [cell.strip() for cell in row.split("|")][2:-1]

    assert counts == ["8", "0.990000", "0.02", "0.003", "55", WHY[0]]
    assert "Graded: near attention, never a pass" in run_table(run)
    assert grades(sample_run()) == ""
    (row,) = (line for line in certificates(run).splitlines() if NAME in line)
    assert [cell.strip() for cell in row.split("|")][2:7] == ["0", "0", "0", "0", "8"]


def test_a_graded_row_has_no_curve_and_its_time_is_in_the_caption():
    run = run_with_graded()
    family = families(run)[0]

    assert NAME not in {curve.implementation for curve in curves(run, family)}
    (words,) = (words for words in missing(run, family) if words.startswith(NAME))
    assert "graded, not ranked (" in words


def test_a_graded_cell_of_the_page_shows_its_grade():
    assert cell_text(graded(CASE), narrow=False) == "≈"
    verdict, head = certificate_lines(graded(CASE))[0]
    assert (verdict, head.partition(":")[0]) == ("graded", "Graded, not a pass")


def test_csv_has_basis_and_grade():
    found = list(csv.DictReader(io.StringIO(run_csv(run_with_graded()))))
    (line,) = (x for x in found if (x["implementation"], x["case"]) == (NAME, CASE.name))

    assert (line["verdict"], line["basis"]) == ("graded", "computed")
    assert (line["cosine"], line["relative_l1"], line["rmse"]) == ("0.99", "0.02", "0.003")
    assert line["direction"] == "forward"
    assert {x["cosine"] for x in found if x["implementation"] != NAME} == {""}


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ("pass", "graded", True),
        ("graded", "fail", True),
        ("graded", "graded", False),
        ("graded", "pass", False),
    ],
)
def test_a_pass_that_becomes_a_grade_is_worse(before, after, worse):
    runs = [
        replace(
            sample_run(),
            agreements=(Agreement(NAME, CASE.name, verdict, "computed", (), ()),),
            timings=(),
        )
        for verdict in (before, after)
    ]

    assert bool(regressions(*runs)) is worse


def test_what_an_interpreter_computed_has_no_time_and_says_so():
    passed = Agreement(NAME, CASE.name, "pass", "interpreted", (), ())

    assert not passed.timeable
    assert why_untimed(passed, "cpu") == ("unsupported", (INTERPRETED,))
    run = replace(sample_run(), agreements=(passed,), timings=())
    assert "computed by its kernel's interpreter" in certificates(run)
    assert "interpreter" in certificate_lines(passed)[0][1]
    with pytest.raises(ValueError, match="must have no samples"):
        replace(sample_run(), agreements=(passed,))


def test_a_run_with_grades_is_read_as_it_was_written(tmp_path):
    run = run_with_graded()
    write(run, tmp_path / "run.json")

    assert read(tmp_path / "run.json", BenchRun) == run


def test_a_file_of_the_schema_before_has_neither_grades_nor_directions(tmp_path):
    content = asdict(sample_run())
    for case in content["cases"]:
        del case["request"]["direction"]
    for agreement in content["agreements"]:
        del agreement["grade"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**content, "schema": "attnpanel.bench-run/6"}))

    assert read(path, BenchRun) == sample_run()
