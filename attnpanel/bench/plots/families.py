"""Group timings into families: calls that differ in sequence length only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.bench.certify.cases import DIRECTIONS
from attnpanel.bench.plots.format import bounded, seconds
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.records import BenchRun, Limits, Timing

# A malformed file may name thousands; a plot of more than these is unreadable.
MAX_FAMILIES = 24
MAX_CURVES = 32
MAX_POINTS = 32
# Larger calls are ignored: counting their operations takes time per query.
LARGEST, MAX_BATCH = 2**20, 2**12
SECONDS = (1e-9, 1e6)
RATES = (1.0, 1e18)


@dataclass(frozen=True)
class Family:
    """Calls that differ in T only, timed with the same number of threads.

    Attributes
    ----------
    name : str
        What the calls have in common.
    cases : tuple of Case
        In order of T.
    threads : int
    """

    name: str
    cases: tuple[Case, ...]
    threads: int


@dataclass(frozen=True)
class Curve:
    """Timings of one implementation on a family; all tuples have the same length.

    Attributes
    ----------
    implementation : str
    cases : tuple of Case
        The cases it was timed on.
    median_s, low_s, high_s : tuple of float
        Median and quartiles of the time of a call.
    peak_bytes : tuple of int or None
    """

    implementation: str
    cases: tuple[Case, ...]
    median_s: tuple[float, ...]
    low_s: tuple[float, ...]
    high_s: tuple[float, ...]
    peak_bytes: tuple[int | None, ...]


def families(run: BenchRun) -> tuple[Family, ...]:
    """Return the families that were timed, the one with most timings first."""
    cases, graded = {case.name: case for case in run.cases}, run.graded
    found: dict[tuple[Case, bool, int], dict[str, Case]] = {}
    weight: dict[tuple[Case, bool, int], int] = {}
    for timing in run.timings:
        case = cases.get(timing.case)
        if case is None or not timed(timing) or (timing.implementation, case.name) in graded:
            continue
        request = case.request
        sizes = (request.query_len, request.key_len, request.heads)
        if max(*sizes, request.head_dim, request.value_dim) > LARGEST or request.batch > MAX_BATCH:
            continue
        square = request.query_len == request.key_len
        keys = 1 if square else request.key_len
        # Mask parameters may depend on the length, in which a family's cases differ.
        shared = request.shortened(1, keys)
        key = (replace(case, request=shared), square, timing.threads)
        found.setdefault(key, {})[case.name] = case
        weight[key] = weight.get(key, 0) + 1
    order = sorted(found, key=lambda key: -weight[key])[:MAX_FAMILIES]
    return tuple(
        Family(
            _family_name(key[0], square=key[1], threads=key[2]),
            tuple(sorted(found[key].values(), key=lambda case: case.request.query_len))[
                -MAX_POINTS:
            ],
            key[2],
        )
        for key in order
    )


def curves(run: BenchRun, family: Family) -> tuple[Curve, ...]:
    """Return the curve of each implementation on the family, in the order of the run.

    What is graded has none, since it computes something else.
    """
    by_name = {case.name: case for case in family.cases}
    found: dict[str, dict[str, Timing]] = {}
    graded = run.graded
    for timing in run.timings:
        if (timing.implementation, timing.case) in graded:
            continue
        if timed(timing) and timing.case in by_name and timing.threads == family.threads:
            found.setdefault(timing.implementation, {})[timing.case] = timing
    return tuple(
        _curve(
            name,
            [(case, found[name][case.name]) for case in family.cases if case.name in found[name]],
        )
        for name in list(found)[:MAX_CURVES]
    )


def limits_of(run: BenchRun, family: Family) -> Limits | None:
    """Return the limits of the machine for the family's dtype, device and threads."""
    request = family.cases[0].request
    for limits in run.limits:
        same = (limits.device, limits.dtype) == (request.device, request.dtype)
        rates = limits.gemm_flops_per_s, limits.copy_bytes_per_s
        measured = all(_within(samples, RATES) for samples in rates)
        if same and limits.threads == family.threads and measured:
            return limits
    return None


def timed(timing: Timing) -> bool:
    """Whether a timing has samples that a logarithmic axis can show."""
    return timing.status == "timed" and _within(timing.own_s, SECONDS)


def missing(run: BenchRun, family: Family) -> tuple[str, ...]:
    """Return, as sentences, why implementations are missing from the family's plots."""
    lengths = {case.name: case.request.query_len for case in family.cases}
    shown = {curve.implementation for curve in curves(run, family)}
    reasons: dict[str, str] = {}
    graded = run.graded
    for timing in run.timings:
        here = timing.case in lengths and timing.threads == family.threads
        if here and timing.implementation not in shown:
            why = timing.reasons[0] if timing.reasons else timing.status
            if (timing.implementation, timing.case) in graded and timed(timing):
                taken = seconds(median(timing.own_s))
                length = lengths[timing.case]
                why = t("graded, not ranked ({time} at T {length})", time=taken, length=length)
            # Reasons of `unsupported()` begin with the implementation's name, exceptions do not.
            named = why.startswith(timing.implementation)
            words = why if named else f"{bounded(timing.implementation, 40)}: {why}"
            reasons.setdefault(timing.implementation, bounded(words.rstrip("."), 200))
    return tuple(reasons.values())[:MAX_CURVES]


def _curve(name: str, timings: Sequence[tuple[Case, Timing]]) -> Curve:
    quartiles = [np.percentile(timing.own_s, [25, 75]) for _, timing in timings]
    return Curve(
        name,
        tuple(case for case, _ in timings),
        tuple(median(timing.own_s) for _, timing in timings),
        tuple(float(low) for low, _ in quartiles),
        tuple(float(high) for _, high in quartiles),
        tuple(timing.peak_bytes for _, timing in timings),
    )


def _family_name(case: Case, *, square: bool, threads: int) -> str:
    request = case.request
    heads = f"H{request.heads}" + f"/{request.kv_heads}" * (request.kv_heads != request.heads)
    parts = [
        t("no mask") if request.mask == "none" else request.mask.replace("_", " "),
        request.align.replace("_", " ") if request.align != "top_left" else "",
        f"window {request.window}" if request.window is not None else "",
        f"B{request.batch} {heads} D{request.head_dim}",
        f"Dv{request.value_dim}" if request.value_dim != request.head_dim else "",
        "" if square else f"S{request.key_len}",
        request.dtype,
        "" if request.direction == "forward" else DIRECTIONS[request.direction],
        case.kind if case.kind != "randn" else "",
        "bias" if request.bias else "",
        f"τ {request.temperature:g}" if request.temperature != 1 else "",
        request.device.upper() if request.device != "cpu" else "",
        t("{count} threads", count=threads) if threads != 1 else t("1 thread"),
    ]
    return bounded(" · ".join(part for part in parts if part), 120)


def _within(samples: Sequence[float], span: tuple[float, float]) -> bool:
    return bool(samples) and span[0] <= min(samples) and max(samples) <= span[1]
