"""A run as comma-separated values, a line for each implementation and case."""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.bench.certify.case import format_option
from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.measure.roofline import share_of_limit
from attnpanel.bench.run.tables import limits_of
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.records import Agreement, BenchRun, Timing

REQUEST: Final = tuple(field.name for field in fields(Request) if field.name != "mask_options")
TIMES: Final = (
    *("status", "median_s", "low_s", "high_s", "samples", "gflop_per_s", "gb_per_s"),
    *("of_limit", "peak_bytes", "compile_s"),
)
GRADES: Final = ("cosine", "relative_l1", "rmse")
HEAD: Final = (
    *("implementation", "case", *REQUEST, "mask_options", "kind", "seed", "verdict", "units"),
    *(*TIMES, "basis", *GRADES, "why"),
)
# A cell that begins so is a formula to a spreadsheet.
FORMULA: Final = ("=", "+", "-", "@")


def run_csv(run: BenchRun) -> str:
    """Return a run as CSV with a line of names; times are quartiles in seconds.

    Cells of text that a spreadsheet would compute begin with an apostrophe.
    """
    timings = {(row.implementation, row.case): row for row in run.timings}
    agreements = {(row.implementation, row.case): row for row in run.agreements}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for case in run.cases:
        for name in run.implementations:
            timing = timings.get((name, case.name))
            agreement = agreements.get((name, case.name))
            if timing is None and agreement is None:
                continue
            why = () if agreement is None else agreement.reasons
            if timing is not None and not timing.wall_s:
                why = timing.reasons or why
            cells = [
                *(name, case.name),
                *(getattr(case.request, field) for field in REQUEST),
                "; ".join(format_option(*option) for option in case.request.mask_options),
                *(case.kind, case.seed),
                *(("", "") if agreement is None else (agreement.verdict, agreement.max_ratio)),
                *_times(run, case, timing),
                "" if agreement is None else agreement.basis,
                *_grades(agreement),
                "; ".join(why),
            ]
            writer.writerow(map(_cell, cells))
    return text.getvalue().rstrip("\n")


def _times(run: BenchRun, case: Case, timing: Timing | None) -> list[Any]:
    """Return the cells of `TIMES`; empty where there are none."""
    if timing is None:
        return [""] * len(TIMES)
    if not timing.wall_s:
        return [timing.status, *[""] * (len(TIMES) - 1)]
    low, middle, high = (float(x) for x in np.quantile(timing.own_s, [0.25, 0.5, 0.75]))
    limits = limits_of(run, case)
    return [
        *(timing.status, middle, low, high, len(timing.wall_s)),
        *(flops(case.request) / middle / 1e9, minimal_bytes(case.request) / middle / 1e9),
        "" if limits is None else share_of_limit(case.request, limits, timing),
        *(timing.peak_bytes, timing.compile_s),
    ]


def _grades(agreement: Agreement | None) -> list[Any]:
    """Return the cells of `GRADES`; empty where nothing is graded."""
    grade = None if agreement is None else agreement.grade
    return ["" if grade is None else getattr(grade, name) for name in GRADES]


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, str):
        # A carriage return begins a line to a spreadsheet, and csv does not quote it.
        value = value.replace("\r", " ")
        return f"'{value}" if value.lstrip().startswith(FORMULA) else value
    return value
