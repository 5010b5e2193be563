"""The numbers an implementation returns, against the reference: rows that see a key, and others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypedDict

import numpy as np

from attnpanel.kernels.arrays import describe
from bench.plain import PLACES, plain_attention
from bench.reference import reference_weights, visible_keys
from bench.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF
from bench.trial import beyond_rounding, check, first_largest
from bench.units import output_unit, unit_of_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType
    from bench.bench_run import Check
    from bench.trial import Trial


# Rows have their rounding of scores in common; the typical error of a few is chance.
FEWEST_ROWS: Final = 32
# Below this part of a unit the median is of the result's own last rounding.
NEGLIGIBLE: Final = 0.02


class Errors(TypedDict):
    """The numbers of a :class:`~bench.bench_run.Agreement`."""

    max_ratio: float | None
    median_ratio: float | None
    worst: tuple[int, ...] | None
    mean_signed_error: float | None
    max_abs_error: float | None
    relative_frobenius: float | None
    nonfinite_mismatches: int


def errors(trial: Trial) -> Errors | None:
    """The output's errors over the rows that see a key; None where there are none to tell."""
    seeing = np.broadcast_to(trial.seeing, trial.output.shape)
    judged = seeing & np.isfinite(trial.output)
    if not judged.any():
        return None
    right = trial.reference.output
    error = np.where(judged, trial.output - right, 0)
    ratio = np.abs(error) / output_unit(trial.request, trial.weight_error, trial.reference)
    size = np.linalg.norm(right[judged].astype(np.float64))
    mismatches = int(seeing.sum() - judged.sum())
    return Errors(
        # Beside a nan or inf the largest finite ratio would mislead.
        max_ratio=None if mismatches else _finite(ratio.max()),
        median_ratio=None if mismatches else _finite(np.median(ratio[judged])),
        worst=None if mismatches else first_largest(ratio),
        mean_signed_error=_finite(error[judged].mean()),
        max_abs_error=_finite(np.abs(error).max()),
        relative_frobenius=(
            _finite(np.linalg.norm(error[judged].astype(np.float64)) / size) if size else None
        ),
        nonfinite_mismatches=mismatches,
    )


def _finite(number: Any) -> float | None:
    """A number as a file can hold it: a wrong kernel's may be beyond every float."""
    plain = float(number)
    return plain if math.isfinite(plain) else None


def output(trial: Trial) -> Check:
    """The output is right, as far as rounding goes."""
    unit = output_unit(trial.request, trial.weight_error, trial.reference)
    found = beyond_rounding(trial.output, trial.reference.output, unit, trial.seeing)
    return check("output", found or _worse_than_plain(trial, unit))


def weights(trial: Trial) -> Check | None:
    """Each weight is right in proportion to itself, and exactly 0 where the key is hidden."""
    if "weights" not in trial.results:
        return None
    return check(
        "weights", weights_wrong(trial, trial.results["weights"], np.arange(trial.request.key_len))
    )


def logsumexp(trial: Trial) -> Check | None:
    """The log-sum-exp of each row that sees a key is right."""
    if "logsumexp" not in trial.results:
        return None
    right = trial.reference.logsumexp
    stored: DType = describe(trial.raw.logsumexp).dtype  # type: ignore[assignment] # checked before
    # A relative error of the sum is an absolute one of its log; then the log is rounded.
    unit = trial.weight_error + UNIT_ROUNDOFF[stored] * np.abs(
        np.where(np.isfinite(right), right, 0)
    )
    got = trial.results["logsumexp"]
    return check("logsumexp", beyond_rounding(got, right, unit, ~trial.reference.empty))


def empty_rows(trial: Trial) -> Check | None:
    """Rows that see no key hold what the implementation's policy says."""
    empty = trial.reference.empty
    if not empty.any():
        return None
    policy = trial.implementation.empty_rows
    found = [
        _not_the_policy(trial, name, policy, empty)
        for name in ("output", "weights", "logsumexp")
        if name in trial.results
    ]
    return check("empty rows", "; ".join(filter(None, found)))


def weights_wrong(trial: Trial, got: NDArray[np.float64], keys: NDArray[np.intp]) -> str:
    """What is wrong with weights, in words; empty if nothing.

    Parameters
    ----------
    trial : Trial
    got : float array of shape (B, H, T, n)
        The weights of n keys.
    keys : int array of shape (n,)
        Which keys.
    """
    request = trial.request
    visible = visible_keys(request, trial.inputs)[..., keys]
    leaked = np.broadcast_to(~visible & trial.seeing, got.shape) & (got != 0)
    if leaked.any():
        at = first_largest(leaked)
        where = (*at[:-1], int(keys[at[-1]]))
        return f"a hidden key must weigh exactly 0; got {got[at]:.9g} at {where}"
    for b, h in np.ndindex(request.batch, request.heads):
        right = reference_weights(request, trial.inputs, b, h)[:, keys]
        unit = trial.weight_error[b, h, :, None] * right + 2 * SMALLEST[request.dtype]
        found = beyond_rounding(got[b, h], right, unit, trial.seeing[b, h])
        if found:
            return f"weights of batch {b}, head {h}: {found}"
    return ""


def _worse_than_plain(trial: Trial, unit: NDArray[np.floating]) -> str:
    """Where scores are kept in 16 bits: whether the typical error is more than that costs."""
    request, rows = trial.request, ~trial.reference.empty
    coarse = request.dtype in SIXTEEN_BIT and trial.implementation.scores_dtype == "storage"
    if not coarse or rows.sum() < FEWEST_ROWS:
        return ""

    def typical(got: NDArray[np.floating]) -> float:
        return float(np.median((np.abs(got - trial.reference.output) / unit)[rows]))

    plain = max(typical(plain_attention(request, trial.inputs, place)) for place in PLACES)
    if not math.isfinite(plain):  # plain 16-bit scores overflow here: there is nothing to hold to
        return ""
    mine, most = typical(trial.output), 2 * plain + NEGLIGIBLE
    if mine <= most:
        return ""
    return (
        f"half of the errors must be within {most:.3g} units, twice those of plain "
        f"{request.dtype} attention; got {mine:.3g}"
    )


def _not_the_policy(trial: Trial, name: str, policy: str, empty: NDArray[np.bool_]) -> str:
    got = trial.results[name][empty]
    rule = f"{name} of a row that sees no key must be"
    match policy, name:
        case "zero", "logsumexp":
            return "" if np.isneginf(got).all() else f"{rule} -inf; got {_odd(got, -np.inf)}"
        case "zero", _:
            return "" if (got == 0).all() else f"{rule} 0; got {_odd(got, 0)}"
        case "nan", "output" | "weights":
            return "" if np.isnan(got).all() else f"{rule} nan; got {_odd(got, np.nan)}"
        case "uniform", "output" | "weights":
            return _not_uniform(trial, name, rule)
    return ""  # what the log of nothing becomes is left to the other policies


def _not_uniform(trial: Trial, name: str, rule: str) -> str:
    request, inputs = trial.request, trial.inputs
    got, wide = trial.results[name], trial.reference.output.dtype
    alike = unit_of_weights(trial.implementation, request, np.zeros_like(trial.weight_error))
    right = np.full(got.shape, 1 / request.key_len, wide)
    size, floor = right, 2 * SMALLEST[request.dtype]
    if name == "output":
        value = np.repeat(inputs.value.astype(wide), request.heads // request.kv_heads, axis=1)
        right = value.mean(axis=2, keepdims=True)
        size = np.abs(value).mean(axis=2, keepdims=True)
        floor = SMALLEST[request.dtype] * (1 + request.key_len)
    unit = alike[..., None] * size + floor
    found = beyond_rounding(got, right, unit, ~trial.seeing)
    return found and f"{rule} as if every key weighed 1/S: {found}"


def _odd(got: NDArray[np.float64], right: float) -> float:
    """The first number that is not right."""
    fine = np.isnan(got) if np.isnan(right) else got == right
    return float(got[~fine][0])
