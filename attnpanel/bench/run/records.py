"""The result of `python -m bench run`: cases, certificates, raw samples and limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from attnpanel.bench.certify.cases import Case  # noqa: TC001 - get_type_hints looks them up
from attnpanel.bench.measure.environment import Environment  # noqa: TC001

RUN_SCHEMA: Final = "attnpanel.bench-run/7"
Verdict = Literal["pass", "fail", "unsupported", "error", "graded"]
Status = Literal[
    "timed",
    "not certified",
    "refused",
    "unsupported",
    "error",
    "crashed",
    "killed",
    "out of memory",
    "timed out",
]


@dataclass(frozen=True)
class Check:
    """One part of a certificate.

    Attributes
    ----------
    name : str
        ``"shape"``, ``"dtype"``, ``"device"``, ``"output"``, ``"weights"``, ``"logsumexp"``,
        ``"masked keys"``, ``"key order"``, ``"query order"``, ``"shift"``, ``"identity value"``,
        ``"empty rows"``, ``"determinism"``, and those that :func:`attnpanel.bench.certify`
        describes.
    verdict : {"pass", "fail", "unsupported", "error"}
    detail : str
        The rule and the actual value; empty if it passed.
    """

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Grade:
    """How near an output is to attention that it does not compute to rounding.

    Of all elements in rows that see a key, against the float64 reference.

    Attributes
    ----------
    cosine : float
        Of the angle between output and reference as vectors; 1 where they are parallel.
    relative_l1 : float
        Sum of absolute errors over the sum of the reference's magnitudes.
    rmse : float
        Root of the mean squared error, in units of the output.
    """

    cosine: float
    relative_l1: float
    rmse: float


@dataclass(frozen=True)
class Agreement:
    """The certificate of one implementation on one case.

    Errors are those of the output against the float64 reference on the same rounded inputs.

    Attributes
    ----------
    implementation : str
    case : str
        The case's :attr:`Case.name`.
    verdict : {"pass", "fail", "unsupported", "error", "graded"}
        ``"graded"``: it does not claim to compute attention to rounding, and nothing else is wrong.
    basis : {"computed", "fake", "interpreted"}
        ``"fake"``: only shape, dtype and device were checked, without the device (FakeTensorMode).
        ``"interpreted"``: a kernel's interpreter computed it, so it gets no time.
    reasons : tuple of str
        Why the verdict is not ``"pass"``; for a fake certificate also what was not checked.
    checks : tuple of Check
        In the order they were made; none follow a failed shape.
    max_ratio, median_ratio : float or None
        Error in units of the expected rounding error; up to 8 passes. None if not computed or
        not finite.
    worst : tuple of int or None
        Position (b, h, t, d) of `max_ratio`.
    mean_signed_error, max_abs_error, relative_frobenius : float or None
        In units of the output; the last is dimensionless.
    nonfinite_mismatches : int or None
        Number of elements that are finite in only one of output and reference.
    grade : Grade or None
        Of an implementation that is graded.
    """

    implementation: str
    case: str
    verdict: Verdict
    basis: Literal["computed", "fake", "interpreted"]
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    max_ratio: float | None = None
    median_ratio: float | None = None
    worst: tuple[int, ...] | None = None
    mean_signed_error: float | None = None
    max_abs_error: float | None = None
    relative_frobenius: float | None = None
    nonfinite_mismatches: int | None = None
    grade: Grade | None = None

    @property
    def timeable(self) -> bool:
        """Whether what computed the output may be timed, ranked or, if graded, apart."""
        return self.verdict in ("pass", "graded") and self.basis == "computed"


@dataclass(frozen=True)
class GradientAgreement:
    """The certificate of the gradients of one implementation on one case.

    Attributes
    ----------
    implementation, case : str
    verdict : {"pass", "fail", "unsupported", "error"}
    reasons : tuple of str
        Why it is not ``"pass"``.
    units : dict of str to float
        The largest error of each gradient, in units; without those that are not finite.
    """

    implementation: str
    case: str
    verdict: Verdict
    reasons: tuple[str, ...]
    units: dict[str, float]


@dataclass(frozen=True)
class Timing:
    """Time and memory of one implementation on one case.

    Attributes
    ----------
    implementation, case : str
    threads : int
    status : str
        ``"timed"``, or the reason for having no samples; ``"refused"`` if what was timed is not
        what was certified, or is faster than the machine's limit.
    reasons : tuple of str
        Details, if not timed; else what to know about the time.
    clock : {"cpu", "cuda", "browser"}
        How `wall_s` was measured: perf_counter around the call, CUDA events, or `performance.now`
        of a browser, which tells no CPU time: `cpu_s` is then empty.
    compile_s : float or None
        Duration of the first call if the implementation compiles.
    warmup_s : tuple of float
        Durations of the calls made until they were stable.
    wall_s, cpu_s : tuple of float
        Duration and CPU time (all threads) of each sample.
    waited_s : tuple of float
        Part of `wall_s` spent runnable but not scheduled. Empty in old files.
    yardstick_s : tuple of float
        Duration of the compute part of :mod:`attnpanel.bench.measure.reference_workload`, the
        mean of one run before and one after each sample. Empty in old files and on a device.
    copy_yardstick_s : tuple of float
        The same for its copy part.
    rounds : tuple of int
        Round of each sample; a round visits all implementations in turn.
    calls_per_sample : int
        Number of calls that each sample is the mean of; above 1 if a call is short.
    peak_bytes : int or None
        Peak memory of a call, output included, above what was in use before it.
    page_faults : tuple of float
        Minor page faults per call of each sample. Empty in old files.
    processes : tuple of int
        Number of the process that took each sample. Empty in old files: one process.
    prepare_s : float or None
        Median CPU time of preparing a call, which is not part of the samples.
    judged : int
        Number of timed results that passed the certificate's checks.
    """

    implementation: str
    case: str
    threads: int
    status: Status
    reasons: tuple[str, ...] = ()
    clock: Literal["cpu", "cuda", "browser"] = "cpu"
    compile_s: float | None = None
    warmup_s: tuple[float, ...] = ()
    wall_s: tuple[float, ...] = ()
    cpu_s: tuple[float, ...] = ()
    rounds: tuple[int, ...] = ()
    waited_s: tuple[float, ...] = ()
    yardstick_s: tuple[float, ...] = ()
    copy_yardstick_s: tuple[float, ...] = ()
    calls_per_sample: int = 1
    peak_bytes: int | None = None
    page_faults: tuple[float, ...] = ()
    processes: tuple[int, ...] = ()
    prepare_s: float | None = None
    judged: int = 0

    @property
    def own_s(self) -> tuple[float, ...]:
        """Duration of each sample without the time spent runnable but not scheduled.

        At least its CPU time per thread and 1 % of its duration: if several processes waited at
        the same time, their waits are subtracted more than once.
        """
        if self.clock == "browser":
            return self.wall_s
        waited = self.waited_s or (0.0,) * len(self.wall_s)
        return tuple(
            max(wall - idle, min(wall, cpu / self.threads), wall / 100)
            for wall, idle, cpu in zip(self.wall_s, waited, self.cpu_s, strict=True)
        )

    def __post_init__(self) -> None:
        lengths = {"wall_s": len(self.wall_s), "cpu_s": len(self.cpu_s), "rounds": len(self.rounds)}
        if self.clock == "browser":
            if self.cpu_s:
                raise ValueError(f"cpu_s must be empty by a browser's clock; got {len(self.cpu_s)}")
            del lengths["cpu_s"]
        if len(set(lengths.values())) > 1:
            words = "wall_s, cpu_s and rounds"
            raise ValueError(f"{words} must have the same length; got {lengths}")
        for name in ("waited_s", "yardstick_s", "copy_yardstick_s", "page_faults", "processes"):
            column = getattr(self, name)
            if column and len(column) != len(self.wall_s):
                raise ValueError(
                    f"{name} must be empty or as long as wall_s; "
                    f"got {len(column)} and {len(self.wall_s)}"
                )
        yardsticks = self.yardstick_s + self.copy_yardstick_s
        if min(self.waited_s, default=0) < 0 or min(yardsticks, default=1) <= 0:
            raise ValueError(
                "waited_s must be at least 0, yardstick_s and copy_yardstick_s above 0"
            )
        if bool(self.wall_s) > (self.status == "timed"):
            raise ValueError(f"samples need the status timed; got {self.status!r} with some")
        finite = all(0 < second < math.inf for second in self.wall_s)
        if not finite or any(second < 0 for second in self.cpu_s):
            raise ValueError(
                "wall_s must be above 0 and finite, and cpu_s at least 0; "
                f"got at least {min(self.wall_s):g} and {min(self.cpu_s, default=0):g}"
            )
        if min(self.threads, self.calls_per_sample) < 1 or (self.peak_bytes or 0) < 0:
            raise ValueError(
                "threads and calls_per_sample must be at least 1, peak_bytes at least 0; "
                f"got {self.threads}, {self.calls_per_sample} and {self.peak_bytes}"
            )


@dataclass(frozen=True)
class MemoryRate:
    """Fastest rate at which this many bytes were moved, by copying or by reading them.

    `per_yardstick` is the same in bytes per duration of the reference workload; None on a device.
    """

    bytes: int
    bytes_per_s: float
    per_yardstick: float | None


@dataclass(frozen=True)
class Limits:
    """Peak rates of the machine, measured in the same run with the same number of threads.

    Attributes
    ----------
    device, dtype : str
    threads : int
    gemm_flops_per_s : tuple of float
        Samples of the rate of a large matrix product.
    copy_bytes_per_s : tuple of float
        Samples of the rate of a large copy, counting bytes read and bytes written.
    datasheet : str or None
        The vendor's figures for a known GPU, in words.
    gemm_yardstick_s : tuple of float
        Duration of the reference workload beside each product. Empty in old files and on a device.
    steps : tuple of MemoryRate
        Rates by size: caches move small inputs faster than `copy_bytes_per_s`. Empty in old files.
    """

    device: str
    dtype: str
    threads: int
    gemm_flops_per_s: tuple[float, ...]
    copy_bytes_per_s: tuple[float, ...]
    datasheet: str | None = None
    gemm_yardstick_s: tuple[float, ...] = ()
    steps: tuple[MemoryRate, ...] = ()

    def __post_init__(self) -> None:
        for name in ("gemm_flops_per_s", "copy_bytes_per_s"):
            rates = getattr(self, name)
            if not rates or min(rates) <= 0:
                raise ValueError(f"{name} must hold rates above 0, at least one; got {rates}")


@dataclass(frozen=True)
class BenchRun:
    """One run of `python -m bench run`.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    cases : tuple of Case
    implementations : tuple of str
    agreements : tuple of Agreement
    timings : tuple of Timing
    limits : tuple of Limits
    machine : dict of str to str
        Further facts that affect the numbers: BLAS library and architecture, GPU, driver, clocks
        and power limit as found; the bench changes none.
    finished : bool
        False if it was interrupted; `--resume` continues it.
    gradients : tuple of GradientAgreement
        Empty unless they were asked for.
    """

    schema: Literal["attnpanel.bench-run/7"]
    preset: str
    environment: Environment
    cases: tuple[Case, ...]
    implementations: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    timings: tuple[Timing, ...]
    limits: tuple[Limits, ...]
    machine: dict[str, str]
    finished: bool
    gradients: tuple[GradientAgreement, ...] = ()

    @property
    def graded(self) -> frozenset[tuple[str, str]]:
        """Implementation and case of the rows that are graded: their times are not ranked."""
        return frozenset(
            (one.implementation, one.case) for one in self.agreements if one.verdict == "graded"
        )

    @classmethod
    def upgrade(cls, content: Any) -> Any:
        """Convert the content of an older file to this schema (:mod:`bench.run.old_schemas`)."""
        from attnpanel.bench.run.old_schemas import upgraded

        return upgraded(content)

    def __post_init__(self) -> None:
        cases = [case.name for case in self.cases]
        for what, names in (
            ("cases", cases),
            ("implementations", list(self.implementations)),
            (
                "agreements",
                [(agreement.implementation, agreement.case) for agreement in self.agreements],
            ),
            (
                "timings",
                [(timing.implementation, timing.case, timing.threads) for timing in self.timings],
            ),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} must be unique; got some twice")
        uncertified = {
            (agreement.implementation, agreement.case)
            for agreement in self.agreements
            if not agreement.timeable
        }
        for timing in self.timings:
            if timing.wall_s and (timing.implementation, timing.case) in uncertified:
                raise ValueError("a row that has not passed its certificate must have no samples")
        rows = {(agreement.implementation, agreement.case) for agreement in self.agreements}
        rows |= {(timing.implementation, timing.case) for timing in self.timings}
        for name, case in sorted(rows):
            if name not in self.implementations or case not in cases:
                raise ValueError(
                    "rows must be of the run's own implementations and cases; "
                    f"got {name[:60]!r} on {case[:60]!r}"
                )
