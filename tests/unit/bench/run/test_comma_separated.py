"""A run as CSV: a line for each row, in numbers that are those of the tables."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.run.comma_separated import run_csv
from attnpanel.bench.run.tables import timing_table
from tests.unit.bench.run.sample_runs import UNTIMED, sample_run, timing, timing_cases


def lines(run):
    found = list(csv.DictReader(io.StringIO(run_csv(run)), strict=True))
    assert not any(None in line or None in line.values() for line in found)  # as long as the head
    return found


def test_each_certificate_and_each_time_is_a_line():
    run = sample_run()
    found = lines(run)

    assert len(found) == len({(line["implementation"], line["case"]) for line in found})
    assert len(found) == len(run.agreements) + len(run.timings)


def test_times_and_rates_are_those_of_the_case():
    case = timing_cases()[2]
    (line,) = (
        line
        for line in lines(sample_run())
        if (line["implementation"], line["case"]) == ("numpy-naive", case.name)
    )

    seconds = timing("numpy-naive", case).wall_s[0]
    assert float(line["median_s"]) == pytest.approx(seconds, rel=1e-5)
    assert float(line["gflop_per_s"]) == pytest.approx(
        flops(case.request) / seconds / 1e9, rel=1e-5
    )
    assert float(line["gb_per_s"]) == pytest.approx(
        minimal_bytes(case.request) / seconds / 1e9, rel=1e-5
    )
    assert (line["query_len"], line["heads"], line["status"]) == ("1024", "8", "timed")


def test_parameters_of_a_mask_are_in_one_cell():
    request = replace(
        timing_cases()[0].request, mask="documents", mask_options=(("starts", (3, 5)),)
    )
    run = sample_run()
    case = replace(run.cases[0], request=request)
    first = replace(run.agreements[0], case=case.name)
    (line,) = lines(replace(run, cases=(case,), agreements=(first,), timings=()))

    assert (line["mask"], line["mask_options"]) == ("documents", "starts 3,5")


def test_row_without_a_time_has_its_reason():
    line = next(one for one in lines(sample_run()) if one["status"] == "unsupported")

    assert (line["implementation"], line["median_s"]) == (UNTIMED, "")
    assert line["why"] == "no CUDA device here"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1+1", "\r=1+1", "a\r=1+1"])
def test_no_text_is_a_formula_of_a_spreadsheet(name):
    run = sample_run()
    first = run.implementations[0]
    named = replace(
        run,
        implementations=(name,),
        agreements=tuple(
            replace(row, implementation=name)
            for row in run.agreements
            if row.implementation == first
        ),
        timings=(),
    )

    (cell,) = {line["implementation"] for line in lines(named)}
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert cell.removeprefix("'") == name.replace("\r", " ")


def test_table_has_the_rate_of_bytes():
    run, case = sample_run(), timing_cases()[2]
    head, _, *rows = timing_table(run, case).splitlines()

    place = [cell.strip() for cell in head.split("|")].index("GB/s")
    row = next(line for line in rows if "numpy-naive" in line)
    seconds = timing("numpy-naive", case).wall_s[0]
    shown = float(row.split("|")[place])
    assert shown == pytest.approx(minimal_bytes(case.request) / seconds / 1e9, abs=0.005)
