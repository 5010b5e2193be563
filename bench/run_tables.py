"""A run of the bench as Markdown: certificates, times beside their limit, growth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.roofline import growth_exponent, least_seconds
from bench.tables import environment_lines, markdown, plain
from bench.work import flops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bench_run import BenchRun, Limits, Timing
    from bench.cases import Case

# What every other is compared with in the short table, where it was timed.
YARDSTICK = "torch-sdpa-flash"
README_LENGTH = 1024
LESS_THAN_ALL = 0.9
LOW_CPU_SHARE = 0.9


def run_table(run: BenchRun) -> str:
    """Return all there is to say about a run."""
    parts = ["Agreement with the float64 reference", certificates(run)]
    for case in _timed_cases(run):
        parts += [f"**{case.name}**", timing_table(run, case)]
    growth = growth_table(run)
    if growth:
        parts += ["Growth: p in time ~ T^p and memory ~ T^p", growth]
    limits = [_limits_line(one) for one in run.limits]
    machine = [f"- {plain(name)}: {plain(words)}" for name, words in run.machine.items()]
    parts.append("\n".join([*limits, *machine, environment_lines(run.environment)]))
    if not run.finished:
        parts.append("**Not finished**: this run was stopped; `--resume` goes on with it.")
    return "\n\n".join(parts)


def certificates(run: BenchRun) -> str:
    """Return how many certificates of each verdict an implementation has, and its worst error."""
    rows = []
    for name in run.implementations:
        mine = [one for one in run.agreements if one.implementation == name]
        verdicts = [one.verdict for one in mine]
        counts = [
            str(verdicts.count("pass")),
            str(verdicts.count("fail")),
            str(verdicts.count("error")),
            str(verdicts.count("unsupported")),
        ]
        ratios = [one.max_ratio for one in mine if one.max_ratio is not None]
        wrong = next((one for one in mine if one.verdict in {"fail", "error"}), None)
        why = "" if wrong is None else f"{wrong.case}: {'; '.join(wrong.reasons)}"
        worst = f"{max(ratios):.2f}" if ratios else ""
        rows.append([plain(name), *counts, worst, plain(why)])
    head = ["implementation", "pass", "fail", "error", "unsupported", "worst, in units", "first"]
    return markdown(head, rows)


def timing_table(run: BenchRun, case: Case) -> str:
    """Return what each implementation took on a case, fastest first; then who was not timed."""
    limits = _limits_of(run, case)
    mine = [one for one in run.timings if one.case == case.name]
    timed = sorted((one for one in mine if one.wall_s), key=median_s)
    rows = []
    for one in timed:
        taken = median_s(one)
        quartiles = np.quantile(one.own_s, [0.25, 0.75]) * 1e3
        rate = flops(case.request) / taken
        rows.append(
            [
                plain(one.implementation),
                f"{taken * 1e3:.3f}",
                f"{quartiles[0]:.3f}–{quartiles[1]:.3f}",
                f"{times_as_long(one, timed[0]):.2f}",
                f"{rate / 1e9:.1f}",
                "" if limits is None else f"{least_seconds(case.request, limits) / taken:.0%}",
                _megabytes(one.peak_bytes),
                "" if one.compile_s is None else f"{one.compile_s:.1f}",
                str(len(one.wall_s)),
                _doubt(one),
            ]
        )
    head = ["implementation", "median ms", "quartiles", "× fastest", "GFLOP/s", "of limit"]
    table = markdown([*head, "extra MB", "compile s", "n", ""], rows) if rows else ""
    others = [
        f"- {plain(one.implementation)}: {plain('; '.join((one.status, *one.reasons)))}"
        for one in mine
        if not one.wall_s
    ]
    return "\n\n".join(part for part in (table, "\n".join(others)) if part)


def growth_table(run: BenchRun) -> str:
    """Return the exponents of time and memory in T; empty where too few lengths were timed."""
    families: dict[tuple[object, ...], list[Case]] = {}
    for case in _timed_cases(run):
        same = {**vars(case.request), "query_len": None, "key_len": None, "pad_lens": None}
        families.setdefault((*same.values(), case.kind), []).append(case)
    rows = []
    for cases in families.values():
        case = cases[0]
        one = replace(case.request, query_len=1, key_len=1, pad_lens=None, mask="none", window=None)
        family = replace(case, request=one).name.replace("none ", f"{case.request.mask} ", 1)
        family = family.replace("T1 ", "")
        for name in run.implementations:
            times, bytes_ = (_fit(run, name, cases, what) for what in ("time", "memory"))
            if times or bytes_:
                rows.append([plain(name), family, times, bytes_])
    return markdown(["implementation", "cases", "time", "memory"], rows) if rows else ""


def readme_table(run: BenchRun, length: int = README_LENGTH) -> str:
    """Return the short table: per mask the time at one length beside the yardstick's.

    Raises
    ------
    ValueError
        If nothing of that length was timed.
    """
    cases = [case for case in _timed_cases(run) if case.request.query_len == length]
    if not cases:
        lengths = sorted({case.request.query_len for case in _timed_cases(run)})
        raise ValueError(f"T must be one of the timed {lengths}; got {length}")
    by_row = {(one.implementation, one.case): one for one in run.timings}
    head = ["implementation", "certificates", "worst, in units"]
    for case in cases:
        words = f"{case.request.mask} {case.request.dtype}"
        head += [f"{words}: ms", f"× {YARDSTICK}", "of limit", "extra MB"]
    rows = []
    for name in run.implementations:
        mine = [one for one in run.agreements if one.implementation == name]
        tried = [one for one in mine if one.verdict != "unsupported"]
        ratios = [one.max_ratio for one in tried if one.max_ratio is not None]
        passed = sum(one.verdict == "pass" for one in tried)
        cells = [f"{passed} of {len(tried)}", f"{max(ratios):.2f}" if ratios else ""]
        for case in cases:
            cells += _cells(run, case, by_row, name)
        rows.append([f"`{plain(name)}`", *cells])
    limits = "\n".join(_limits_line(one) for one in run.limits)
    threads = sorted({one.threads for one in run.timings})
    shape = cases[0].request
    caption = (
        f"B {shape.batch}, H {shape.heads}, T = S = {length}, D {shape.head_dim}; threads "
        f"{', '.join(map(str, threads))}; medians. A row without a certificate shows no time."
    )
    return "\n\n".join(
        [markdown(head, rows), caption, f"{limits}\n{environment_lines(run.environment)}"]
    )


def median_s(timing: Timing) -> float:
    """Return the median of a row's samples, in seconds, without what they waited for a core."""
    return float(np.median(timing.own_s))


def times_as_long(timing: Timing, other: Timing) -> float:
    """Return how many times as long one takes as another, against the yardsticks beside them."""
    if not (timing.yardstick_s and other.yardstick_s):
        return median_s(timing) / median_s(other)
    one, two = (
        float(np.median(np.array(row.own_s) / np.array(row.yardstick_s))) for row in (timing, other)
    )
    return one / two


def _cells(
    run: BenchRun, case: Case, by_row: dict[tuple[str, str], Timing], name: str
) -> Sequence[str]:
    one = by_row.get((name, case.name))
    if one is None or not one.wall_s:
        return ["" if one is None else one.status, "", "", ""]
    yard = by_row.get((YARDSTICK, case.name))
    limits = _limits_of(run, case)
    taken = median_s(one)
    return [
        f"{taken * 1e3:.2f}",
        f"{times_as_long(one, yard):.2f}" if yard is not None and yard.wall_s else "",
        "" if limits is None else f"{least_seconds(case.request, limits) / taken:.0%}",
        _megabytes(one.peak_bytes),
    ]


def _fit(run: BenchRun, name: str, cases: Sequence[Case], what: str) -> str:
    lengths, values = [], []
    for case in cases:
        for one in run.timings:
            if (one.implementation, one.case) == (name, case.name) and one.wall_s:
                value = median_s(one) if what == "time" else float(one.peak_bytes or 0)
                lengths.append(case.request.query_len)
                values.append(value)
    exponent = growth_exponent(lengths, values) if values else None
    return "" if exponent is None else f"{exponent:.2f}"


def _timed_cases(run: BenchRun) -> list[Case]:
    timed = {one.case for one in run.timings}
    return [case for case in run.cases if case.name in timed]


def _limits_of(run: BenchRun, case: Case) -> Limits | None:
    kind = case.request.device, case.request.dtype
    return next((one for one in run.limits if (one.device, one.dtype) == kind), None)


def _limits_line(limits: Limits) -> str:
    line = (
        f"- limits of {limits.device}, {limits.dtype}, {limits.threads} threads: products "
        f"{max(limits.gemm_flops_per_s) / 1e9:.1f} GFLOP/s, copies "
        f"{max(limits.copy_bytes_per_s) / 1e9:.1f} GB/s, measured in this run"
    )
    return line if limits.datasheet is None else f"{line}; {limits.datasheet} (not measured)"


def _doubt(timing: Timing) -> str:
    """Say what makes a row's time doubtful, or unlike its neighbours'."""
    if timing.clock == "cuda":
        return ""
    share = float(np.median(np.array(timing.cpu_s) / np.array(timing.wall_s)))
    if share < LOW_CPU_SHARE:
        return f"noisy: it had its cores {share:.0%} of the time"
    if share > timing.threads / LESS_THAN_ALL:
        return f"took {share:.1f} cores, told to take {timing.threads}"
    return ""


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"
