"""Format a run as Markdown: certificates, times relative to the limits, growth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.measure.roofline import growth_exponent, share_of_limit
from attnpanel.bench.product.tables import environment_lines, escape_cell, markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.records import BenchRun, Limits, Timing, Verdict

# The implementation that the short table compares the others with, if it was timed.
BASELINE = "torch-sdpa-flash"
README_LENGTH = 1024
FULL_CPU_SHARE = 0.9
LOW_CPU_SHARE = 0.9
# Page faults take up to 1 µs each.
MANY_FAULTS = 200
LONG_PREPARE_S = 2e-3
# In the order of the columns.
VERDICTS: Final[tuple[Verdict, ...]] = ("pass", "fail", "error", "unsupported", "graded")
# The fields of a request without a mask.
UNMASKED: Final[dict[str, Any]] = {
    "mask": "none",
    "pad_lens": None,
    "window": None,
    "mask_options": (),
}


def run_table(run: BenchRun) -> str:
    """Return the full report of a run."""
    parts = ["Agreement with the float64 reference", certificates(run)]
    if found := grades(run):
        parts += ["Graded: near attention, never a pass; the worst over its cases", found]
    if run.gradients:
        parts += ["Gradients", gradient_certificates(run)]
    for case in _timed_cases(run):
        parts += [f"**{case.name}**", timing_table(run, case)]
    growth = growth_table(run)
    if growth:
        parts += ["Growth: p in time ~ T^p and memory ~ T^p", growth]
    limits = [_limits_line(limits) for limits in run.limits]
    machine = [
        f"- {escape_cell(name)}: {escape_cell(words)}" for name, words in run.machine.items()
    ]
    parts.append("\n".join([*limits, *machine, environment_lines(run.environment)]))
    if not run.finished:
        parts.append("**Not finished**: this run was stopped; `--resume` continues it.")
    return "\n\n".join(parts)


def certificates(run: BenchRun) -> str:
    """Return, by implementation, the number of certificates of each verdict and the worst error."""
    rows = []
    for name in run.implementations:
        mine = [agreement for agreement in run.agreements if agreement.implementation == name]
        verdicts = [agreement.verdict for agreement in mine]
        counts = [str(verdicts.count(verdict)) for verdict in VERDICTS]
        ratios = [
            agreement.max_ratio
            for agreement in mine
            if agreement.max_ratio is not None and agreement.verdict != "graded"
        ]
        wrong = next(
            (agreement for agreement in mine if agreement.verdict in {"fail", "error"}), None
        )
        why = "" if wrong is None else f"{wrong.case}: {'; '.join(wrong.reasons)}"
        worst = f"{max(ratios):.2f}" if ratios else ""
        if not why and any(one.basis == "interpreted" for one in mine):
            why = "computed by its kernel's interpreter"
        rows.append([escape_cell(name), *counts, worst, escape_cell(why)])
    return markdown(["implementation", *VERDICTS, "worst, in units", "first"], rows)


def grades(run: BenchRun) -> str:
    """Return, by graded implementation, how far from attention it is at most; empty without one."""
    rows = []
    for name in run.implementations:
        mine = [
            (one, one.grade)
            for one in run.agreements
            if one.implementation == name and one.grade is not None
        ]
        if not mine:
            continue
        units = [one.max_ratio for one, _ in mine if one.max_ratio is not None]
        rows.append(
            [
                escape_cell(name),
                str(len(mine)),
                f"{min(grade.cosine for _, grade in mine):.6f}",
                f"{max(grade.relative_l1 for _, grade in mine):.2g}",
                f"{max(grade.rmse for _, grade in mine):.2g}",
                f"{max(units):.3g}" if units else "",
                escape_cell(mine[0][0].reasons[0]),
            ]
        )
    head = ["implementation", "cases", "least cosine", "relative L1", "RMSE", "units", "what it is"]
    return markdown(head, rows) if rows else ""


def gradient_certificates(run: BenchRun) -> str:
    """Return, by implementation, how its gradients' certificates ended and the worst error."""
    rows = []
    for name in dict.fromkeys(one.implementation for one in run.gradients):
        mine = [one for one in run.gradients if one.implementation == name]
        verdicts = [one.verdict for one in mine]
        counts = [str(verdicts.count(verdict)) for verdict in ("pass", "fail", "error")]
        units = [unit for one in mine for unit in one.units.values()]
        wrong = next((one for one in mine if one.verdict in {"fail", "error"}), None)
        why = "" if wrong is None else f"{wrong.case}: {'; '.join(wrong.reasons)}"
        worst = f"{max(units):.2f}" if units else ""
        unsupported = str(verdicts.count("unsupported"))
        rows.append([escape_cell(name), *counts, unsupported, worst, escape_cell(why)])
    head = ["implementation", "pass", "fail", "error", "unsupported", "worst, in units", "first"]
    return markdown(head, rows)


def timing_table(run: BenchRun, case: Case) -> str:
    """Return the times on a case, fastest first, then what is graded or not timed."""
    mine = [timing for timing in run.timings if timing.case == case.name]
    timed = sorted((timing for timing in mine if timing.wall_s), key=median_s)
    apart = [timing for timing in timed if (timing.implementation, case.name) in run.graded]
    others = [
        f"- {escape_cell(timing.implementation)}: "
        f"{escape_cell('; '.join((timing.status, *timing.reasons)))}"
        for timing in mine
        if not timing.wall_s
    ]
    parts = [
        _times(run, case, [timing for timing in timed if timing not in apart]),
        "Graded, so not ranked:" if apart else "",
        _times(run, case, apart, ranked=False),
        "\n".join(others),
    ]
    return "\n\n".join(filter(None, parts))


def _times(run: BenchRun, case: Case, timed: Sequence[Timing], *, ranked: bool = True) -> str:
    limits = limits_of(run, case)
    rows = []
    for timing in timed:
        taken = median_s(timing)
        quartiles = np.quantile(timing.own_s, [0.25, 0.75]) * 1e3
        rate = flops(case.request) / taken
        rows.append(
            [
                escape_cell(timing.implementation),
                f"{taken * 1e3:.3f}",
                f"{quartiles[0]:.3f}–{quartiles[1]:.3f}",
                f"{relative_time(timing, timed[0]):.2f}" if ranked else "",
                f"{rate / 1e9:.1f}",
                f"{minimal_bytes(case.request) / taken / 1e9:.2f}",
                "" if limits is None else f"{share_of_limit(case.request, limits, timing):.0%}",
                _megabytes(timing.peak_bytes),
                "" if timing.compile_s is None else f"{timing.compile_s:.1f}",
                str(len(timing.wall_s)),
                _warning(timing),
            ]
        )
    head = ["implementation", "median ms", "quartiles", "× fastest", "GFLOP/s", "GB/s"]
    return markdown([*head, "of limit", "extra MB", "compile s", "n", ""], rows) if rows else ""


def growth_table(run: BenchRun) -> str:
    """Return the exponents of time and memory in T; empty if too few lengths were timed."""
    families: dict[tuple[object, ...], list[Case]] = {}
    for case in _timed_cases(run):
        sizes = dict.fromkeys(("query_len", "key_len", "pad_lens", "mask_options"))
        same = {**vars(case.request), **sizes}
        # Decoding does not grow as a square call does.
        if case.request.query_len != case.request.key_len:
            same["key_len"] = case.request.key_len
        families.setdefault((*same.values(), case.kind), []).append(case)
    rows = []
    for cases in families.values():
        case = cases[0]
        square = case.request.query_len == case.request.key_len
        key_len = 1 if square else case.request.key_len
        request = replace(case.request, query_len=1, key_len=key_len, **UNMASKED)
        family = replace(case, request=request).name.replace("none ", f"{case.request.mask} ", 1)
        family = family.replace("T1 ", "")
        for name in run.implementations:
            times, bytes_ = (_fit(run, name, cases, what) for what in ("time", "memory"))
            if times or bytes_:
                rows.append([escape_cell(name), family, times, bytes_])
    return markdown(["implementation", "cases", "time", "memory"], rows) if rows else ""


def readme_table(run: BenchRun, length: int = README_LENGTH) -> str:
    """Return the short table: times at one length, for each mask, relative to `BASELINE`.

    Without what is graded.

    Raises
    ------
    ValueError
        If nothing of that length was timed.
    """
    cases = [case for case in _timed_cases(run) if case.request.query_len == length]
    if not cases:
        lengths = sorted({case.request.query_len for case in _timed_cases(run)})
        raise ValueError(f"T must be one of the timed {lengths}; got {length}")
    by_row = {(timing.implementation, timing.case): timing for timing in run.timings}
    head = ["implementation", "certificates", "worst, in units"]
    for case in cases:
        words = f"{case.request.mask} {case.request.dtype}"
        head += [f"{words}: ms", f"× {BASELINE}", "of limit", "extra MB"]
    rows = []
    for name in run.implementations:
        mine = [agreement for agreement in run.agreements if agreement.implementation == name]
        if any(agreement.verdict == "graded" for agreement in mine):
            continue
        tried = [agreement for agreement in mine if agreement.verdict != "unsupported"]
        ratios = [agreement.max_ratio for agreement in tried if agreement.max_ratio is not None]
        passed = sum(agreement.verdict == "pass" for agreement in tried)
        cells = [f"{passed} of {len(tried)}", f"{max(ratios):.2f}" if ratios else ""]
        for case in cases:
            cells += _cells(run, case, by_row, name)
        rows.append([f"`{escape_cell(name)}`", *cells])
    limits = "\n".join(_limits_line(limits) for limits in run.limits)
    threads = sorted({timing.threads for timing in run.timings})
    shape = cases[0].request
    caption = (
        f"B {shape.batch}, H {shape.heads}, T = S = {length}, D {shape.head_dim}; threads "
        f"{', '.join(map(str, threads))}; medians. A row without a certificate shows no time."
    )
    return "\n\n".join(
        [markdown(head, rows), caption, f"{limits}\n{environment_lines(run.environment)}"]
    )


def median_s(timing: Timing) -> float:
    """Return the median sample in seconds without the time spent runnable but not scheduled."""
    return float(np.median(timing.own_s))


def relative_time(timing: Timing, other: Timing) -> float:
    """Return the ratio of two times, relative to the reference workload if both have one."""
    if not (timing.yardstick_s and other.yardstick_s):
        return median_s(timing) / median_s(other)
    first, second = (
        float(np.median(np.array(row.own_s) / np.array(row.yardstick_s))) for row in (timing, other)
    )
    return first / second


def _cells(
    run: BenchRun, case: Case, by_row: dict[tuple[str, str], Timing], name: str
) -> Sequence[str]:
    timing = by_row.get((name, case.name))
    if timing is None or not timing.wall_s:
        return ["" if timing is None else timing.status, "", "", ""]
    baseline = by_row.get((BASELINE, case.name))
    limits = limits_of(run, case)
    taken = median_s(timing)
    return [
        f"{taken * 1e3:.2f}",
        f"{relative_time(timing, baseline):.2f}"
        if baseline is not None and baseline.wall_s
        else "",
        "" if limits is None else f"{share_of_limit(case.request, limits, timing):.0%}",
        _megabytes(timing.peak_bytes),
    ]


def _fit(run: BenchRun, name: str, cases: Sequence[Case], what: str) -> str:
    lengths, values = [], []
    for case in cases:
        for timing in run.timings:
            if (timing.implementation, timing.case) == (name, case.name) and timing.wall_s:
                value = median_s(timing) if what == "time" else float(timing.peak_bytes or 0)
                lengths.append(case.request.query_len)
                values.append(value)
    exponent = growth_exponent(lengths, values) if values else None
    return "" if exponent is None else f"{exponent:.2f}"


def _timed_cases(run: BenchRun) -> list[Case]:
    timed = {timing.case for timing in run.timings}
    return [case for case in run.cases if case.name in timed]


def limits_of(run: BenchRun, case: Case) -> Limits | None:
    """Return the machine's limits for a case, if they were measured."""
    kind = case.request.device, case.request.dtype
    return next((limits for limits in run.limits if (limits.device, limits.dtype) == kind), None)


def _limits_line(limits: Limits) -> str:
    line = (
        f"- limits of {limits.device}, {limits.dtype}, {limits.threads} threads: products "
        f"{max(limits.gemm_flops_per_s) / 1e9:.1f} GFLOP/s, copies "
        f"{max(limits.copy_bytes_per_s) / 1e9:.1f} GB/s, measured in this run"
    )
    return line if limits.datasheet is None else f"{line}; {limits.datasheet} (not measured)"


def _warning(timing: Timing) -> str:
    """Return what to know about a time before comparing it; empty if there is nothing."""
    notes = (*timing.reasons, _core_note(timing), _fault_note(timing), _prepare_note(timing))
    return escape_cell("; ".join(filter(None, notes)))


def _core_note(timing: Timing) -> str:
    if timing.clock == "browser":
        return ""
    share = float(np.median(np.array(timing.cpu_s) / np.array(timing.wall_s)))
    if timing.clock == "cuda":
        launching = "bound by launching: the host took as long as the device"
        return launching if share > LOW_CPU_SHARE else ""
    if share < LOW_CPU_SHARE:
        return f"noisy: it had its cores {share:.0%} of the time"
    if share > timing.threads / FULL_CPU_SHARE:
        return f"took {share:.1f} cores, limited to {timing.threads}"
    return ""


def _fault_note(timing: Timing) -> str:
    """Return the page faults of a call, by process if they differ."""
    if not timing.page_faults:
        return ""
    faults, owners = np.array(timing.page_faults), np.array(timing.processes or 0)
    owners = np.broadcast_to(owners, faults.shape)
    each = [float(np.median(faults[owners == owner])) for owner in np.unique(owners)]
    if max(each) < MANY_FAULTS:
        return ""
    if max(each) > 2 * min(each):
        return f"from {min(each):.0f} to {max(each):.0f} page faults a call, by process"
    return f"{max(each):.0f} page faults a call"


def _prepare_note(timing: Timing) -> str:
    if timing.prepare_s is None or timing.prepare_s < max(median_s(timing), LONG_PREPARE_S):
        return ""
    return f"preparing a call takes {timing.prepare_s * 1e3:.3g} ms, which is not in its time"


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"
