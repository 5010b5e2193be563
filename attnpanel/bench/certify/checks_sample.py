"""The check of the rows of a large case that are not in the sample.

They are compared with PyTorch's float32 attention on the same inputs, itself judged on the sampled
rows. It gives neither ``P |V|`` nor ``P² V²``, so a row is judged as a whole, by the length of its
error relative to the length of its output. The inputs are random, so that outputs do not cancel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.error_units import PASSING_UNITS, unit_of_weights
from attnpanel.bench.certify.judged_rows import JudgedRows
from attnpanel.bench.certify.judgement import argmax_index, judge
from attnpanel.bench.certify.reference import visible_keys
from attnpanel.bench.certify.rounding import UNIT_ROUNDOFF
from attnpanel.kernels import find_implementation
from attnpanel.kernels.arrays import to_float64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs, Request

# Roundoffs of 16 bits by which a row may be off; storing weights and output takes 0.6.
ROUNDOFFS: Final = 10


def every_row(context: CertificateContext) -> Check | None:
    """Check the rows that are not in the sample of a large case."""
    if context.view.rows is None:
        return None
    whole = JudgedRows(context.view.full, None, context.places)
    request, inputs = whole.request, whole.inputs(context.inputs)
    single = replace(request, dtype="float32", device="cpu")
    attention = find_implementation("torch-sdpa")
    reasons = attention.unsupported(single)
    if reasons:
        return replace(make_check("every row", ""), detail=f"not made: {'; '.join(reasons)}")
    exact = to_float64(
        attention.prepare(_as_float32(inputs), single, threads=context.threads)().output
    )
    sampled = replace(context.view.request, dtype="float32", scale=single.scale)
    failures = judge(sampled, context.judged, context.view.of(exact), context.reference).failures
    if failures:
        raise ArithmeticError(f"float32 attention itself is wrong: {'; '.join(failures)}")
    seeing = visible_keys(context.case.request, context.inputs).any(axis=-1)
    output = to_float64(context.raw.output)
    error = np.linalg.norm(output - exact, axis=-1)
    allowed = _allowed(request, inputs, context) * np.linalg.norm(exact, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(seeing & (error > 0), error / allowed, 0)
    ratio = np.where(seeing & ~np.isfinite(error), np.inf, ratio)
    if (ratio <= 1).all():
        return make_check("every row", "")
    at = argmax_index(ratio)
    return make_check(
        "every row",
        f"a row must be within {allowed[at]:.3g} of float32 attention; got {error[at]:.3g} at {at}",
    )


def _as_float32(inputs: Inputs) -> Inputs:
    return replace(
        inputs,
        query=inputs.query.astype(np.float32),
        key=inputs.key.astype(np.float32),
        value=inputs.value.astype(np.float32),
        bias=None if inputs.bias is None else inputs.bias.astype(np.float32),
    )


def _allowed(request: Request, inputs: Inputs, context: CertificateContext) -> NDArray[np.floating]:
    """Return the relative error of each row that passes, (B, H, T)."""
    kappa = _largest_condition(request, inputs)
    places = context.places
    single = replace(request, dtype="float32")
    # P |V| is up to sqrt(S) times as long as the output where values have random signs.
    allowed = 2 * PASSING_UNITS * unit_of_weights(single, kappa, None) * np.sqrt(request.key_len)
    if places is not None:
        allowed = allowed + ROUNDOFFS * UNIT_ROUNDOFF[request.dtype]
        if places.scores:
            allowed = allowed + PASSING_UNITS * unit_of_weights(request, kappa, places)
    return np.asarray(allowed)


def _largest_condition(request: Request, inputs: Inputs) -> NDArray[np.floating]:
    """Return a bound of κ, (B, H, T), from the largest key of each channel."""
    group = request.heads // request.kv_heads
    key = np.repeat(np.abs(inputs.key).max(axis=2, keepdims=True), group, axis=1).astype(np.float64)
    products = np.abs(inputs.query) * key
    width = request.head_dim
    size = np.sqrt(width) * np.linalg.norm(products, axis=-1)
    size += np.sqrt(width / 3) * products.sum(axis=-1)
    size *= abs(request.score_scale) / 2
    if inputs.bias is not None:
        size = size + np.abs(inputs.bias).max(axis=-1)
    return np.asarray(size / request.temperature)
