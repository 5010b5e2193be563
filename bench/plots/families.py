"""Which timings belong in one picture: calls that differ in their length only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from bench.plots.words import bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.bench_run import BenchRun, Limits, Timing
    from bench.cases import Case

# A hostile or mistaken file may name thousands; a picture of more than these says nothing.
MOST_FAMILIES = 24
MOST_CURVES = 32
MOST_POINTS = 32
# What lies beyond is no call of ours: its arithmetic would be counted query by query.
LARGEST, MOST_BATCH = 2**20, 2**12
SECONDS = (1e-9, 1e6)
RATES = (1.0, 1e18)


@dataclass(frozen=True)
class Family:
    """Calls that differ in T only, timed with one number of threads.

    Attributes
    ----------
    name : str
        What they share, in words.
    cases : tuple of Case
        With T rising.
    threads : int
    """

    name: str
    cases: tuple[Case, ...]
    threads: int


@dataclass(frozen=True)
class Curve:
    """One implementation over the calls of a family; the tuples go together.

    Attributes
    ----------
    implementation : str
    cases : tuple of Case
        Those it was timed on.
    median_s, low_s, high_s : tuple of float
        Median and quartiles of the wall time of a call.
    peak_bytes : tuple of int or None
    """

    implementation: str
    cases: tuple[Case, ...]
    median_s: tuple[float, ...]
    low_s: tuple[float, ...]
    high_s: tuple[float, ...]
    peak_bytes: tuple[int | None, ...]


def families(run: BenchRun) -> tuple[Family, ...]:
    """Return the families that something was timed on; the one that says most comes first."""
    cases = {case.name: case for case in run.cases}
    found: dict[tuple[Case, bool, int], dict[str, Case]] = {}
    weight: dict[tuple[Case, bool, int], int] = {}
    for timing in run.timings:
        case = cases.get(timing.case)
        if case is None or not timed(timing):
            continue
        request = case.request
        sizes = (request.query_len, request.key_len, request.heads)
        if max(*sizes, request.head_dim, request.value_dim) > LARGEST or request.batch > MOST_BATCH:
            continue
        square = request.query_len == request.key_len
        keys = 1 if square else request.key_len
        # As long as the length they go with, which a family's cases differ in.
        pads = request.pad_lens and tuple(min(pad_len, keys) for pad_len in request.pad_lens)
        shared = replace(request, query_len=1, key_len=keys, pad_lens=pads)
        key = (replace(case, request=shared), square, timing.threads)
        found.setdefault(key, {})[case.name] = case
        weight[key] = weight.get(key, 0) + 1
    order = sorted(found, key=lambda key: -weight[key])[:MOST_FAMILIES]
    return tuple(
        Family(
            _family_name(key[0], square=key[1], threads=key[2]),
            tuple(sorted(found[key].values(), key=lambda case: case.request.query_len))[
                -MOST_POINTS:
            ],
            key[2],
        )
        for key in order
    )


def curves(run: BenchRun, family: Family) -> tuple[Curve, ...]:
    """Return every implementation's timings on the family, in the run's order."""
    by_name = {case.name: case for case in family.cases}
    found: dict[str, dict[str, Timing]] = {}
    for timing in run.timings:
        if timed(timing) and timing.case in by_name and timing.threads == family.threads:
            found.setdefault(timing.implementation, {})[timing.case] = timing
    return tuple(
        _curve(
            name,
            [(case, found[name][case.name]) for case in family.cases if case.name in found[name]],
        )
        for name in list(found)[:MOST_CURVES]
    )


def limits_of(run: BenchRun, family: Family) -> Limits | None:
    """Return what the machine could do at most with the family's dtype, device and threads."""
    request = family.cases[0].request
    for limits in run.limits:
        same = (limits.device, limits.dtype) == (request.device, request.dtype)
        rates = limits.gemm_flops_per_s, limits.copy_bytes_per_s
        measured = all(_within(samples, RATES) for samples in rates)
        if same and limits.threads == family.threads and measured:
            return limits
    return None


def timed(timing: Timing) -> bool:
    """Whether a timing holds times that a logarithmic axis can show."""
    return timing.status == "timed" and _within(timing.own_s, SECONDS)


def missing(run: BenchRun, family: Family) -> tuple[str, ...]:
    """Return why an implementation is not in the family's pictures, a sentence each."""
    names = {case.name for case in family.cases}
    shown = {curve.implementation for curve in curves(run, family)}
    reasons: dict[str, str] = {}
    for timing in run.timings:
        here = timing.case in names and timing.threads == family.threads
        if here and timing.implementation not in shown:
            why = timing.reasons[0] if timing.reasons else timing.status
            # A reason in words begins with the name; an exception's doesn't.
            named = why.startswith(timing.implementation)
            words = why if named else f"{bounded(timing.implementation, 40)}: {why}"
            reasons.setdefault(timing.implementation, bounded(words.rstrip("."), 200))
    return tuple(reasons.values())[:MOST_CURVES]


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
        "no mask" if request.mask == "none" else request.mask.replace("_", " "),
        request.align.replace("_", " ") if request.align != "top_left" else "",
        f"window {request.window}" if request.window is not None else "",
        f"B{request.batch} {heads} D{request.head_dim}",
        f"Dv{request.value_dim}" if request.value_dim != request.head_dim else "",
        "" if square else f"S{request.key_len}",
        request.dtype,
        case.kind if case.kind != "randn" else "",
        "bias" if request.bias else "",
        f"τ {request.temperature:g}" if request.temperature != 1 else "",
        request.device.upper() if request.device != "cpu" else "",
        f"{threads} thread{'s' * (threads != 1)}",
    ]
    return bounded(" · ".join(part for part in parts if part), 120)


def _within(samples: Sequence[float], span: tuple[float, float]) -> bool:
    return bool(samples) and span[0] <= min(samples) and max(samples) <= span[1]
