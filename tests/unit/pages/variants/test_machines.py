"""Machines of the page of variants: every number is that of the file or datasheet it names."""

from __future__ import annotations

import json

import pytest

from attnpanel.bench.page.runs import load_run
from docs.write_machines import DATASHEETS, PAGE, datasheet_row, measured_row, title_of

WRITTEN = json.loads(PAGE.read_text(encoding="utf-8"))


def test_datasheets_are_the_benchs():
    assert WRITTEN["datasheets"] == [datasheet_row(sheet) for sheet in DATASHEETS], (
        "run: python docs/write_machines.py"
    )


@pytest.mark.parametrize("row", WRITTEN["measured"], ids=lambda row: row["title"])
def test_a_measured_machine_is_that_of_its_file(root, row):
    run = load_run(root / row["file"])
    limits = [
        limits
        for limits in run.limits
        if (title_of(run, limits), limits.dtype) == (row["title"], row["dtype"])
    ]

    made = measured_row(row["title"], row["file"], run, limits[0])

    assert json.loads(json.dumps(made)) == row, "run: python docs/write_machines.py"
    assert row["times"]
    passed = {
        agreement.implementation for agreement in run.agreements if agreement.verdict == "pass"
    }
    assert {time["implementation"] for time in row["times"]} <= passed
