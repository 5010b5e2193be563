"""How far the laws of serving hold: how a sequence is split among calls must not change it.

The result is a property, not a verdict: kernels that split work by the size of the batch are right
and yet not bit-equal. :mod:`attnpanel.bench.certify.serving_laws` has the laws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from attnpanel.bench.certify.judgement import DEVIATIONS
from attnpanel.bench.certify.rounding import SIXTEEN_BIT
from attnpanel.bench.certify.serving_laws import LAWS, Calls, UnsupportedError
from attnpanel.bench.certify.sixteen_bits import last_bit
from attnpanel.bench.run.exception_text import format_exception
from attnpanel.kernels.request import DType, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.serving_laws import Pair
    from attnpanel.kernels.implementation import Implementation

# Two results that are each within 8 standard deviations of the truth, of which a unit is 0.8.
SIXTEEN_BIT_UNITS: Final = 8 * np.sqrt(2) / DEVIATIONS
# PyTorch's kernels differ from themselves by up to 1.1 units in float32 (docs/bench.md).
UNITS: Final = 2.0
# One sequence each; S >= T, so that a causal query sees a key.
SHAPES: Final = (
    Request(1, 2, 2, 37, 53, 16, 16),
    Request(1, 4, 2, 64, 64, 64, 64),
    Request(1, 2, 1, 128, 257, 128, 128),
    Request(1, 2, 2, 65, 129, 80, 80),
    Request(1, 1, 1, 16, 1024, 64, 64),
    Request(1, 1, 1, 149, 541, 64, 64),
)
Result = Literal["bit-equal", "within rounding", "not", "unsupported", "error"]


@dataclass(frozen=True)
class Invariance:
    """What one law found in one dtype.

    Attributes
    ----------
    law : str
        A name of `LAWS`.
    dtype : str
    result : {"bit-equal", "within rounding", "not", "unsupported", "error"}
        ``"within rounding"``: in 16 bits, elements differ by at most a last bit and 8·√2 standard
        deviations of rounding (and, if parts are merged, by what storing them adds); else, by at
        most two units of rounding error. ``"unsupported"``: no shape could be computed in both
        ways.
    equal_share : float or None
        Share of the elements that are bit-equal, the least of any shape.
    worst : float or None
        The largest difference, as a fraction of what passes.
    shapes : int
        Number of shapes that were compared.
    reason : str
        Why it is unsupported, an error or not invariant: the first shape of which that is so.
    """

    law: str
    dtype: DType
    result: Result
    equal_share: float | None
    worst: float | None
    shapes: int
    reason: str


def measure_invariance(
    implementation: Implementation, dtype: DType, *, device: str = "cpu", threads: int = 1
) -> tuple[Invariance, ...]:
    """Compare the arrangements of calls of every law in a dtype.

    Exceptions of the implementation are the result ``"error"``.

    Parameters
    ----------
    implementation : Implementation
    dtype : str
    device : str
    threads : int
    """
    # Each shape is compiled anew.
    shapes = SHAPES[:2] if implementation.compiles else SHAPES
    found = []
    for law in LAWS:
        compared = [
            _compare(
                law, Calls(implementation, replace(shape, dtype=dtype, device=device), threads)
            )
            for shape in shapes
        ]
        found.append(_summary(law, dtype, compared))
    return tuple(found)


@dataclass(frozen=True)
class _Compared:
    """One law on one shape."""

    equal_share: float | None = None
    worst: float | None = None
    unsupported: str = ""
    error: str = ""
    shape: str = ""


def _compare(law: str, calls: Calls) -> _Compared:
    try:
        case, pairs = LAWS[law].pairs(calls)
        unit = None
        equal = count = 0
        worst = 0.0
        for pair in pairs:
            # After the first calls, which may find that they are not supported.
            unit = calls.unit(case) if unit is None else unit
            equal += int((pair.one == pair.other).sum())
            count += pair.one.size
            ratio = _ratio(pair, unit[pair.index], case.request.dtype)
            worst = max(worst, float(ratio.max()))
    except UnsupportedError as error:
        return _Compared(unsupported=str(error))
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return _Compared(error=f"{format_exception(error)} (T {calls.request.query_len})")
    return _Compared(equal / count, worst, shape=case.name)


def _ratio(pair: Pair, unit: NDArray[np.floating], dtype: DType) -> NDArray[np.float64]:
    """Return each difference as a fraction of what passes; inf where only one is finite."""
    stored = dtype in SIXTEEN_BIT
    both = np.isfinite(pair.one) & np.isfinite(pair.other)
    one, other = np.where(both, pair.one, 0), np.where(both, pair.other, 0)
    difference = np.abs(one - other)
    if stored:
        step = last_bit(np.maximum(np.abs(one), np.abs(other)), dtype)
        difference = np.maximum(difference - (step + pair.stored) * (1 + 1e-9), 0)
    ratio = difference / (unit * (SIXTEEN_BIT_UNITS if stored else UNITS))
    return np.asarray(np.where(both, ratio, np.inf), np.float64)


def _summary(law: str, dtype: DType, compared: list[_Compared]) -> Invariance:
    errors = [one.error for one in compared if one.error]
    if errors:
        return Invariance(law, dtype, "error", None, None, 0, errors[0])
    done = [(one.equal_share, one.worst, one.shape) for one in compared if not one.unsupported]
    shares = [share for share, _, _ in done if share is not None]
    ratios = [(worst, shape) for _, worst, shape in done if worst is not None]
    if not shares or not ratios:
        reason = next((one.unsupported for one in compared), "")
        return Invariance(law, dtype, "unsupported", None, None, 0, reason)
    worst, shape = max(ratios)
    result: Result = "not"
    if worst <= 1:
        result = "bit-equal" if min(shares) == 1 else "within rounding"
    finite = worst if np.isfinite(worst) else None
    reason = f"most on {shape}" if result == "not" else ""
    return Invariance(law, dtype, result, min(shares), finite, len(shares), reason)


def describe_invariance(found: Invariance) -> str:
    """Return a result in words: ``"bit-equal"``, ``"within 42 % (77 % bit-equal)"``."""
    if found.result in ("unsupported", "error"):
        return "–" if found.result == "unsupported" else f"error: {found.reason}"
    if found.result == "bit-equal":
        return "bit-equal"
    # Rounded down: 100 % would be bit-equal.
    share = f"({math.floor(100 * (found.equal_share or 0))} % bit-equal)"
    if found.worst is None:
        return f"NOT: not finite {share}"
    if found.result == "not":
        return f"NOT: {found.worst:.3g} times what passes {share}"
    within = f"{100 * found.worst:.0f} %" if found.worst else "a last bit"
    return f"within {within} {share}"
