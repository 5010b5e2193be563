"""Sample runs with synthetic numbers, made without clock and kernel."""

from __future__ import annotations

from dataclasses import replace

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.measure.environment import Environment
from attnpanel.bench.run.records import RUN_SCHEMA, Agreement, BenchRun, Check, Limits, Timing
from attnpanel.kernels.request import Request

ENVIRONMENT = Environment(
    date_utc="2026-11-22T06:44:24+00:00",
    commit="77a285b0c0ffee",
    dirty=False,
    cpu_model="A made-up CPU",
    cores=2,
    memory_bytes=8_000_000_000,
    os="Linux",
    python="CPython 3.11.0",
    versions={"numpy": "2.4.6", "torch": "2.13.0"},
    browser=None,
    thread_variables={},
    load_before=(0.1, 0.1, 0.1),
    load_after=(1.0, 0.5, 0.2),
)
# Seconds at T = 1024, the exponent of T, and memory above the output at T = 1024.
SPEEDS = {
    "numpy-naive": (0.142, 2.2, 96e6),
    "numpy-row-blocked": (0.073, 2.0, 2.2e6),
    "numpy-online": (0.090, 2.0, 1.2e6),
    "torch-eager": (0.187, 2.1, 64e6),
    "torch-sdpa-flash": (0.055, 1.95, 1.0e6),
    "torch-sdpa-math": (0.171, 2.1, 73e6),
    "torch-compiled-eager": (0.055, 2.1, 33e6),
    "torch-flex-compiled": (0.094, 1.9, 1.5e6),
    "javascript-node": (1.9, 2.0, 3e6),
    "onnxruntime-attention": (0.052, 2.1, 33e6),
    "jax-attention": (0.193, 2.1, 66e6),
}
UNTIMED = "torch-sdpa-cudnn"


def request(query_len: int, **options) -> Request:
    """Return a request of the timed cases: B1 H8 D64."""
    sizes = {"heads": 8, "kv_heads": 8, "key_len": query_len, "head_dim": 64, "value_dim": 64}
    return Request(batch=1, query_len=query_len, **{**sizes, **options})


def timing_cases() -> tuple[Case, ...]:
    """Return two families, without mask and causal, of four lengths each."""
    lengths = (256, 512, 1024, 2048)
    return tuple(Case(request(n, mask=mask)) for mask in ("none", "causal") for n in lengths)


def certificate_cases() -> tuple[Case, ...]:
    """Return cases that differ in every field of a case."""
    small = {"heads": 3, "kv_heads": 3, "key_len": 7, "head_dim": 11, "value_dim": 13}
    options = [
        {},
        {"mask": "causal"},
        {"mask": "causal", "align": "bottom_right"},
        {"mask": "window", "window": 3},
        {"mask": "padding", "pad_lens": (4,), "key_len": 5},
        {"mask": "key_padding", "pad_lens": (4,)},
        {"bias": True},
        {"heads": 4, "kv_heads": 2},
        {"dtype": "float64"},
        {"dtype": "float16"},
        {"dtype": "bfloat16"},
        {"temperature": 0.01},
        {"temperature": 100.0},
        {"mask": "causal", "dtype": "float16"},
    ]
    plain = tuple(Case(request(5, **{**small, **option})) for option in options)
    kinds = tuple(Case(request(5, **small), kind) for kind in ("peaked", "outlier", "large"))
    return plain + kinds


def agreement(implementation: str, case: Case, index: int) -> Agreement:
    """Return a certificate that passes with a ratio by its index; some rows fail."""
    made = Agreement(
        implementation,
        case.name,
        "pass",
        "computed",
        (),
        (Check("shape", "pass", ""), Check("dtype", "pass", ""), Check("output", "pass", "")),
        max_ratio=0.3 + index % 29 / 10,
        median_ratio=0.1,
        worst=(0, 2, 4, 10),
        mean_signed_error=1e-9,
        max_abs_error=2.4e-7,
        relative_frobenius=8e-8,
        nonfinite_mismatches=0,
    )
    if implementation == UNTIMED:
        why = ("no CUDA device here",)
        return replace(made, verdict="unsupported", basis="fake", reasons=why, max_ratio=None)
    if implementation == "javascript-node" and case.request.temperature == 0.01:
        why = "output must be within 8 units of the reference; 106 units at (0, 2, 4, 10)"
        checks = (Check("shape", "pass", ""), Check("output", "fail", why))
        return replace(made, verdict="fail", reasons=(why,), checks=checks, max_ratio=106.2)
    if implementation == "jax-attention" and case.request.bias:
        why = ("RuntimeError: the device said no",)
        return replace(made, verdict="error", reasons=why, checks=(), max_ratio=None)
    if implementation == "torch-flex-compiled" and case.request.dtype == "float64":
        why = ("flex_attention can't run float64",)
        return replace(made, verdict="unsupported", reasons=why, checks=(), max_ratio=None)
    return made


def timing(implementation: str, case: Case, *, faster: float = 1.0) -> Timing:
    """Return a timing on its power law exactly, with two more samples 10 % off."""
    if implementation == UNTIMED:
        return Timing(implementation, case.name, 1, "unsupported", ("no CUDA device here",))
    at_1024, exponent, extra = SPEEDS[implementation]
    length = case.request.query_len
    half = 0.6 if case.request.mask == "causal" else 1.0
    seconds = at_1024 / faster * half * (length / 1024) ** exponent
    output = case.request.heads * length * 64 * 4
    return Timing(
        implementation,
        case.name,
        1,
        "timed",
        wall_s=(seconds, seconds * 0.9, seconds * 1.1),
        cpu_s=(seconds, seconds * 0.9, seconds * 1.1),
        rounds=(0, 1, 2),
        peak_bytes=output + int(extra * (length / 1024) ** (2 if extra > 2e7 else 1)),
    )


def sample_run(*, date: str = "2026-11-22T06:44:24+00:00", faster: float = 1.0) -> BenchRun:
    """Return a run with certificates, timings of two families and limits."""
    names = (*SPEEDS, UNTIMED)
    checked, clocked = certificate_cases(), timing_cases()
    return BenchRun(
        RUN_SCHEMA,
        "quick",
        replace(ENVIRONMENT, date_utc=date),
        checked + clocked,
        names,
        tuple(
            agreement(name, case, place * 7 + index)
            for place, name in enumerate(names)
            for index, case in enumerate(checked)
        ),
        tuple(timing(name, case, faster=faster) for name in names for case in clocked),
        (Limits("cpu", "float32", 1, (1.02e11, 1.0e11, 0.98e11), (1.1e10, 1.2e10, 1.0e10)),),
        machine={},
        finished=True,
    )
