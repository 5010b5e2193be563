"""What `python -m bench run` leaves behind: cases, certificates, raw samples, limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from bench.cases import Case  # noqa: TC001 - get_type_hints looks them up
from bench.environment import Environment  # noqa: TC001

RUN_SCHEMA: Final = "attnpanel.bench-run/3"
# The second without `copy_yardstick_s`, the first without `waited_s` and `yardstick_s`, too; read
# as runs that lack them.
OLD_SCHEMAS: Final = ("attnpanel.bench-run/1", "attnpanel.bench-run/2")
Verdict = Literal["pass", "fail", "unsupported", "error"]
Status = Literal[
    "timed", "not certified", "unsupported", "error", "crashed", "out of memory", "timed out"
]


@dataclass(frozen=True)
class Check:
    """One part of a certificate.

    Attributes
    ----------
    name : str
        ``"shape"``, ``"dtype"``, ``"device"``, ``"output"``, ``"weights"``, ``"logsumexp"``,
        ``"masked keys"``, ``"key order"``, ``"shift"``, ``"identity value"``, ``"empty rows"``,
        ``"determinism"``.
    verdict : {"pass", "fail", "unsupported", "error"}
    detail : str
        The rule and what came, in words; empty where it passed.
    """

    name: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Agreement:
    """The certificate of one implementation on one case.

    Errors are of the output against the float64 reference on the same rounded inputs.

    Attributes
    ----------
    implementation : str
    case : str
        The case's :attr:`Case.name`.
    verdict : {"pass", "fail", "unsupported", "error"}
    basis : {"computed", "fake"}
        ``"fake"``: shape, dtype and device only, propagated without a device (FakeTensorMode).
    reasons : tuple of str
        Why not ``"pass"``, in words; also what a fake certificate leaves open.
    checks : tuple of Check
        In the order they were made; a failed shape ends them.
    max_ratio, median_ratio : float or None
        Error in units of what rounding explains; up to 8 passes. None where none was computed,
        or where it is not finite.
    worst : tuple of int or None
        Position (b, h, t, d) of `max_ratio`.
    mean_signed_error, max_abs_error, relative_frobenius : float or None
        In the output's own unit; the last dimensionless.
    nonfinite_mismatches : int or None
        Elements that are finite on one side only.
    """

    implementation: str
    case: str
    verdict: Verdict
    basis: Literal["computed", "fake"]
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    max_ratio: float | None = None
    median_ratio: float | None = None
    worst: tuple[int, ...] | None = None
    mean_signed_error: float | None = None
    max_abs_error: float | None = None
    relative_frobenius: float | None = None
    nonfinite_mismatches: int | None = None


@dataclass(frozen=True)
class Timing:
    """How long one implementation took on one case, and what it needed.

    Attributes
    ----------
    implementation, case : str
    threads : int
    status : str
        ``"timed"``, or why there are no samples.
    reasons : tuple of str
        In words, where not timed.
    clock : {"cpu", "cuda"}
        What `wall_s` was measured with: perf_counter around the call, or CUDA events.
    compile_s : float or None
        The first call of an implementation that compiles; kept apart.
    warmup_s : tuple of float
        Calls before the samples, until they were stable.
    wall_s, cpu_s : tuple of float
        Seconds of each sample; CPU is that of all threads.
    waited_s : tuple of float
        What of `wall_s` was spent ready to run and without a core. Empty in old files.
    yardstick_s : tuple of float
        Seconds of the fixed computing of :mod:`bench.yardstick`, the mean of once before and once
        after each sample. Empty in old files, and on a device.
    copy_yardstick_s : tuple of float
        The same of its copy of memory.
    rounds : tuple of int
        The round each sample was taken in; rounds go through all implementations in turn.
    calls_per_sample : int
        Calls that each sample is the mean of, where one is too short for the clock.
    peak_bytes : int or None
        The most memory above the inputs during a call, the output included.
    """

    implementation: str
    case: str
    threads: int
    status: Status
    reasons: tuple[str, ...] = ()
    clock: Literal["cpu", "cuda"] = "cpu"
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

    @property
    def own_s(self) -> tuple[float, ...]:
        """Seconds of each sample, without what it waited for a core.

        Never less than it computed, nor than a hundredth: processes that wait at the same time
        would else count twice.
        """
        waited = self.waited_s or (0.0,) * len(self.wall_s)
        return tuple(
            max(wall - idle, min(wall, cpu / self.threads), wall / 100)
            for wall, idle, cpu in zip(self.wall_s, waited, self.cpu_s, strict=True)
        )

    def __post_init__(self) -> None:
        lengths = {"wall_s": len(self.wall_s), "cpu_s": len(self.cpu_s), "rounds": len(self.rounds)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"wall_s, cpu_s and rounds must be of one length; got {lengths}")
        for name in ("waited_s", "yardstick_s", "copy_yardstick_s"):
            beside = getattr(self, name)
            if beside and len(beside) != len(self.wall_s):
                raise ValueError(
                    f"{name} must be empty or as long as wall_s; "
                    f"got {len(beside)} and {len(self.wall_s)}"
                )
        yardsticks = self.yardstick_s + self.copy_yardstick_s
        if min(self.waited_s, default=0) < 0 or min(yardsticks, default=1) <= 0:
            raise ValueError(
                "waited_s must be at least 0, yardstick_s and copy_yardstick_s above 0"
            )
        if bool(self.wall_s) > (self.status == "timed"):
            raise ValueError(f"samples go with the status timed; got {self.status!r} with some")
        if any(second <= 0 for second in self.wall_s) or any(second < 0 for second in self.cpu_s):
            raise ValueError("wall_s must be above 0 and cpu_s at least 0")
        if min(self.threads, self.calls_per_sample) < 1 or (self.peak_bytes or 0) < 0:
            raise ValueError(
                "threads and calls_per_sample must be at least 1, peak_bytes at least 0; "
                f"got {self.threads}, {self.calls_per_sample} and {self.peak_bytes}"
            )


@dataclass(frozen=True)
class Limits:
    """What this machine can do at most, measured in the same run with the same threads.

    Attributes
    ----------
    device, dtype : str
    threads : int
    gemm_flops_per_s : tuple of float
        Samples of a large matrix product.
    copy_bytes_per_s : tuple of float
        Samples of a large copy: bytes read plus bytes written.
    datasheet : str or None
        On a known GPU the maker's figures, named as such.
    """

    device: str
    dtype: str
    threads: int
    gemm_flops_per_s: tuple[float, ...]
    copy_bytes_per_s: tuple[float, ...]
    datasheet: str | None = None

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
        What else bears on the numbers, in words: BLAS library and architecture, GPU, driver,
        clocks and power limit as they were found, never changed.
    finished : bool
        False where it was interrupted; `--resume` goes on.
    """

    schema: Literal["attnpanel.bench-run/3"]
    preset: str
    environment: Environment
    cases: tuple[Case, ...]
    implementations: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    timings: tuple[Timing, ...]
    limits: tuple[Limits, ...]
    machine: dict[str, str]
    finished: bool

    @classmethod
    def renewed(cls, content: Any) -> Any:
        """Return a file's content as this schema has it; see :func:`bench.results.read`."""
        if not (isinstance(content, dict) and content.get("schema") in OLD_SCHEMAS):
            return content
        timings = content.get("timings")
        if isinstance(timings, list):
            lacking = ("waited_s", "yardstick_s", "copy_yardstick_s")
            missing: dict[str, list[float]] = {name: [] for name in lacking}
            timings = [{**missing, **one} if isinstance(one, dict) else one for one in timings]
        return {**content, "schema": RUN_SCHEMA, "timings": timings}

    def __post_init__(self) -> None:
        cases = [case.name for case in self.cases]
        for what, names in (
            ("cases", cases),
            ("implementations", list(self.implementations)),
            ("agreements", [(one.implementation, one.case) for one in self.agreements]),
            ("timings", [(one.implementation, one.case, one.threads) for one in self.timings]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} must be there once each; got some twice")
        uncertified = {
            (one.implementation, one.case)
            for one in self.agreements
            if one.verdict != "pass" or one.basis == "fake"
        }
        for timing in self.timings:
            if timing.wall_s and (timing.implementation, timing.case) in uncertified:
                raise ValueError("what has not passed its certificate has no time")
        rows = {(one.implementation, one.case) for one in self.agreements}
        rows |= {(one.implementation, one.case) for one in self.timings}
        for name, case in sorted(rows):
            if name not in self.implementations or case not in cases:
                raise ValueError(
                    "rows must be of the run's own implementations and cases; "
                    f"got {name[:60]!r} on {case[:60]!r}"
                )
