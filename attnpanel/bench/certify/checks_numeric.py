"""The checks that compare returned values with the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.error_units import UNBOUNDED, unit_of_weights
from attnpanel.bench.certify.judgement import (
    DEVIATIONS,
    argmax_index,
    describe_excess,
    error_ratio,
)
from attnpanel.bench.certify.reference import query_blocks, reference_weights, visible_keys
from attnpanel.bench.certify.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF
from attnpanel.bench.certify.sixteen_bits import block_model, float32_error, weight_deviation
from attnpanel.kernels.arrays import describe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import DType


class Errors(TypedDict):
    """The error statistics of an :class:`~attnpanel.bench.run.records.Agreement`."""

    max_ratio: float | None
    median_ratio: float | None
    worst: tuple[int, ...] | None
    mean_signed_error: float | None
    max_abs_error: float | None
    relative_frobenius: float | None
    nonfinite_mismatches: int


def errors(context: CertificateContext) -> Errors | None:
    """Return error statistics over the finite outputs of non-empty rows, if there are any."""
    seeing = np.broadcast_to(context.nonempty_rows, context.output.shape)
    judged = seeing & np.isfinite(context.output)
    if not judged.any():
        return None
    expected = context.reference.output
    error = np.where(judged, context.output - expected, 0)
    ratio = np.where(judged, context.judgement.ratio, 0)
    size = np.linalg.norm(expected[judged].astype(np.float64))
    mismatches = int(seeing.sum() - judged.sum())
    return Errors(
        # With a nan or inf, the largest finite ratio would be misleading.
        max_ratio=None if mismatches else _finite(ratio.max()),
        median_ratio=None if mismatches else _finite(np.median(ratio[judged])),
        worst=None if mismatches else _position(context, argmax_index(ratio)),
        mean_signed_error=_finite(error[judged].mean()),
        max_abs_error=_finite(np.abs(error).max()),
        relative_frobenius=(
            _finite(np.linalg.norm(error[judged].astype(np.float64)) / size) if size else None
        ),
        nonfinite_mismatches=mismatches,
    )


def _position(context: CertificateContext, index: tuple[int, ...]) -> tuple[int, ...]:
    """Return the position in the whole output of an index into the judged rows."""
    rows = context.view.rows
    return index if rows is None else (*index[:2], int(rows[index[2]]), *index[3:])


def _finite(number: Any) -> float | None:
    """Convert to a float, None if it is not finite: JSON has neither nan nor inf."""
    value = float(number)
    return value if math.isfinite(value) else None


def output(context: CertificateContext) -> Check:
    """Check that the output is correct to within rounding."""
    return make_check("output", "; ".join(context.judgement.failures))


def weights(context: CertificateContext) -> Check | None:
    """Check each weight's relative error, and that weights of hidden keys are exactly 0."""
    if "weights" not in context.results:
        return None
    return make_check("weights", _wrong_weights(context, context.results["weights"]))


def _wrong_weights(context: CertificateContext, actual: NDArray[np.float64]) -> str:
    return describe_weight_error(
        context,
        actual,
        np.arange(context.request.key_len),
        stored=describe(context.raw.weights).dtype in SIXTEEN_BIT,
    )


def logsumexp(context: CertificateContext) -> Check | None:
    """Check the log-sum-exp of each row that sees a key."""
    if "logsumexp" not in context.results:
        return None
    return make_check("logsumexp", _wrong_logsumexp(context, context.results["logsumexp"]))


def wrong_beside_output(
    context: CertificateContext, results: dict[str, NDArray[np.float64]]
) -> str:
    """Return what is wrong with other results of the same inputs than the output; else empty."""
    for name, wrong in (("logsumexp", _wrong_logsumexp), ("weights", _wrong_weights)):
        if name in results and (found := wrong(context, results[name])):
            return f"{name}: {found}"
    return ""


def _wrong_logsumexp(context: CertificateContext, actual: NDArray[np.float64]) -> str:
    expected = context.reference.logsumexp
    stored: DType = describe(context.raw.logsumexp).dtype  # type: ignore[assignment] # checked before
    # A relative error of the sum is an absolute error of its log, which is then rounded.
    unit = context.weight_error + UNIT_ROUNDOFF[stored] * np.abs(
        np.where(np.isfinite(expected), expected, 0)
    )
    found = _excess(context, actual, expected, unit)
    if found:
        near = np.clip(actual, expected - context.alike_error, expected + context.alike_error)
        found = _excess(context, actual, near, unit)
    return found


def _excess(
    context: CertificateContext,
    actual: NDArray[np.float64],
    expected: NDArray[np.floating],
    unit: NDArray[np.floating],
) -> str:
    ratio = error_ratio(actual, expected, unit, ~context.reference.empty)
    return describe_excess(ratio, actual, expected)


def empty_rows(context: CertificateContext) -> Check | None:
    """Check that rows that see no key follow the implementation's declared policy."""
    empty = context.reference.empty
    if not empty.any():
        return None
    policy = context.implementation.empty_rows
    found = [
        _policy_violation(context, name, policy, empty)
        for name in ("output", "weights", "logsumexp")
        if name in context.results
    ]
    return make_check("empty rows", "; ".join(filter(None, found)))


def describe_weight_error(
    context: CertificateContext,
    actual: NDArray[np.float64],
    keys: NDArray[np.intp],
    *,
    stored: bool,
) -> str:
    """Describe the first error of the weights; empty if they are correct.

    Parameters
    ----------
    context : CertificateContext
    actual : float array of shape (B, H, T, n)
        The weights of n keys.
    keys : int array of shape (n,)
        Indices of these keys.
    stored : bool
        Whether they were stored in the request's 16 bits.
    """
    request = context.request
    visible = visible_keys(request, context.judged)[..., keys]
    leaked = np.broadcast_to(~visible & context.nonempty_rows, actual.shape) & (actual != 0)
    if leaked.any():
        at = argmax_index(leaked)
        where = (*at[:-1], int(keys[at[-1]]))
        return f"a hidden key must weigh exactly 0; got {actual[at]:.9g} at {where}"
    dtype = request.dtype if stored and request.dtype in SIXTEEN_BIT else None
    for b, h in np.ndindex(request.batch, request.heads):
        expected = reference_weights(request, context.judged, b, h)[:, keys]
        unit = _weight_unit(context, expected, (b, h), keys)
        judged = context.nonempty_rows[b, h]
        ratio = error_ratio(actual[b, h], expected, unit, judged, stored=dtype)
        found = describe_excess(ratio, actual[b, h], expected)
        if found:
            by = context.alike_error[b, h][:, None] * expected
            near = np.clip(actual[b, h], expected - by, expected + by)
            ratio = error_ratio(actual[b, h], near, unit, judged, stored=dtype)
            found = describe_excess(ratio, actual[b, h], near)
        if found:
            return f"weights of batch {b}, head {h}: {found}"
    return ""


def _weight_unit(
    context: CertificateContext,
    expected: NDArray[np.floating],
    head: tuple[int, int],
    keys: NDArray[np.intp],
) -> NDArray[np.floating]:
    """Return one error unit of each weight of a head, (T, n)."""
    request, places = context.request, context.places
    relative = context.weight_error[head][:, None]
    grown = np.where(relative < UNBOUNDED, relative * expected + 2 * SMALLEST[request.dtype], 1.0)
    if places is None:
        return np.asarray(grown)
    unit = np.empty(expected.shape)
    for block in query_blocks(request, context.judged, only=head):
        model, rows = block_model(block, request, places), block.index[2]
        found = DEVIATIONS * weight_deviation(model, float32_error(block, request))[:, keys]
        unit[rows] = np.where(model.linear[:, None], found, np.maximum(found, grown[rows]))
    return unit


def _policy_violation(
    context: CertificateContext, name: str, policy: str, empty: NDArray[np.bool_]
) -> str:
    actual = context.results[name][empty]
    rule = f"{name} of a row that sees no key must be"
    match policy, name:
        case "zero", "logsumexp":
            return "" if np.isneginf(actual).all() else f"{rule} -inf; got {_odd(actual, -np.inf)}"
        case "zero", _:
            return "" if (actual == 0).all() else f"{rule} 0; got {_odd(actual, 0)}"
        case "nan", "output" | "weights":
            return "" if np.isnan(actual).all() else f"{rule} nan; got {_odd(actual, np.nan)}"
        case "uniform", "output" | "weights":
            return _uniform_violation(context, name, rule)
    return ""  # the log-sum-exp of an empty row is defined by the policy "zero" only


def _uniform_violation(context: CertificateContext, name: str, rule: str) -> str:
    request, inputs = context.request, context.judged
    actual, wide = context.results[name], context.reference.output.dtype
    alike = unit_of_weights(request, np.zeros_like(context.weight_error), context.places)
    expected = np.full(actual.shape, 1 / request.key_len, wide)
    size, floor = expected, 2 * SMALLEST[request.dtype]
    if name == "output":
        value = np.repeat(inputs.value.astype(wide), request.heads // request.kv_heads, axis=1)
        expected = value.mean(axis=2, keepdims=True)
        size = np.abs(value).mean(axis=2, keepdims=True)
        floor = SMALLEST[request.dtype] * (1 + request.key_len)
    unit = alike[..., None] * size + floor
    found = context.excess(actual, expected, unit, ~context.nonempty_rows)
    return found and f"{rule} as if every key weighed 1/S: {found}"


def _odd(actual: NDArray[np.float64], expected: float) -> float:
    """Return the first value that differs from the expected one."""
    fine = np.isnan(actual) if np.isnan(expected) else actual == expected
    return float(actual[~fine][0])
