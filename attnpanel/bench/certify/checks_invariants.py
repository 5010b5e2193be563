"""The checks of invariants: properties of attention that hold for any values.

Comparing values cannot tell a mask from a large penalty: filling scores with -20 instead of -inf
is correct to within rounding, but lets hidden keys influence the output.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.checks_numeric import describe_weight_error
from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judgement import argmax_index, error_unit
from attnpanel.bench.certify.reference import reference, visible_keys
from attnpanel.bench.certify.rounding import SMALLEST, round_to

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import DType

PERTURBATION: Final = 1e4
# A hidden key of 1e4 overflows float16 scores (above 65504), and an additive mask then computes
# inf - inf = nan, which is no fault of the kernel.
KEY_PERTURBATION: Final[dict[DType, float]] = {"float16": 100.0}
# Scores to compute for V = identity over all calls: 2 M take about a tenth of a second.
IDENTITY_BUDGET, MOST_CALLS = 2**21, 8


def masked_keys(context: CertificateContext) -> Check | None:
    """Check that hidden keys and values do not change a bit of the output."""
    request, inputs = context.request, context.inputs
    visible = visible_keys(request, context.judged)
    if visible.all():
        return None
    # Output channel d depends on value channel d only, so each channel perturbs a different range
    # of keys and one call tests as many ranges as there are channels.
    ranges = _perturbed_ranges(request.key_len, request.value_dim)  # (S, Dv)
    value = round_to(inputs.value + PERTURBATION * ranges, request.dtype)
    unaffected = (visible.astype(np.float32) @ ranges) == 0  # (B or 1, H or 1, T, Dv)
    results = context.run_all(replace(inputs, value=value))
    found = _describe_change(context, results["output"], unaffected, "values")
    found = found or of_values(context, results)
    if not found:
        late = _keys_after_median(visible)  # (B or 1, 1, S)
        signs = np.where(np.arange(request.head_dim) % 2, -1, 1)
        by = KEY_PERTURBATION.get(request.dtype, PERTURBATION) * signs * late[..., None]
        key = round_to(inputs.key + by, request.dtype)
        unaffected = np.logical_not((visible & late[:, :, None, :]).any(axis=-1, keepdims=True))
        found = _describe_change(context, context.run(replace(inputs, key=key)), unaffected, "keys")
    return make_check("masked keys", found)


def of_values(context: CertificateContext, results: dict[str, NDArray[np.float64]]) -> str:
    """Return which result of other values differs that no value has a part in; empty if none."""
    seeing = context.nonempty_rows[..., 0]
    for name in ("logsumexp", "weights"):
        if name not in results:
            continue
        actual, before = results[name][seeing], context.results[name][seeing]
        if not np.array_equal(actual, before, equal_nan=True):
            return f"other values must not change a bit of {name}"
    return ""


def query_order(context: CertificateContext) -> Check | None:
    """Check that queries in another order, of the same keys and values, give outputs in it."""
    request, inputs = context.request, context.inputs
    visible = visible_keys(request, context.judged)
    if request.query_len == 1 or (visible != visible[:, :, :1]).any():
        return None
    turned = replace(
        inputs,
        query=inputs.query[:, :, ::-1].copy(),
        bias=None if inputs.bias is None else inputs.bias[:, ::-1].copy(),
    )
    output = context.run(turned)[:, :, ::-1]
    found = context.excess(output, context.reference.output, context.unit, context.nonempty_rows)
    return make_check("query order", found and f"queries in another order: {found}")


def key_order(context: CertificateContext) -> Check | None:
    """Check that permuting keys and values does not change the output."""
    request, inputs = context.request, context.inputs
    visible = visible_keys(request, context.judged)
    # A row's output must not change under a permutation that leaves its mask unchanged.
    candidates = [
        (
            order,
            (visible[..., order] == visible).all(axis=-1, keepdims=True) & context.nonempty_rows,
        )
        for order in _permutations(request.key_len)
    ]
    if not any(rows.any() for _, rows in candidates):
        return None
    order, same = max(candidates, key=lambda pair: int(pair[1].sum()))
    permuted = replace(
        inputs,
        key=inputs.key[:, :, order],
        value=inputs.value[:, :, order],
        bias=None if inputs.bias is None else inputs.bias[..., order],
    )
    found = context.excess(context.run(permuted), context.reference.output, context.unit, same)
    return make_check("key order", found and f"keys in another order: {found}")


def shift(context: CertificateContext) -> Check:
    """Check that adding a vector to every key, a constant to a row's scores, changes nothing."""
    request, inputs = context.request, context.inputs
    # Keys on a grid of 1/32 of their size, shifted by whole steps: exact in all four dtypes.
    step = 2.0 ** (np.ceil(np.log2(np.abs(inputs.key).max() or 1.0)) - 5)
    key = np.rint(inputs.key / step) * step
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=request.head_dim)
    moved = replace(inputs, key=round_to(key + 32 * step * signs, request.dtype))
    # In exact arithmetic the result of the keys that were not moved, but with their larger scores.
    judged = context.view.inputs(moved)
    expected = reference(request, judged)
    unit = error_unit(request, judged, expected, context.places)
    found = context.excess(context.run(moved), expected.output, unit, context.nonempty_rows)
    return make_check("shift", found and f"every score of a row moved alike: {found}")


def identity_value(context: CertificateContext) -> Check:
    """Check with V = identity that weights are correct, sum to 1 and are 0 for hidden keys."""
    request, inputs = context.request, context.inputs
    sums = context.run(replace(inputs, value=round_to(np.ones_like(inputs.value), request.dtype)))
    unit = context.weight_error[..., None] + SMALLEST[request.dtype] * (1 + request.key_len)
    found = context.excess(sums, np.ones(1), unit, context.nonempty_rows)
    if found:
        # Of the normaliser, and of the product of weights and ones.
        alike = 2 * context.alike_error[..., None]
        nearest = np.clip(sums, 1 - alike, 1 + alike)
        found = context.excess(sums, nearest, unit, context.nonempty_rows)
    if found:
        return make_check("identity value", f"weights must sum to 1: {found}")
    keys, actual = [], []
    for first in _column_starts(context):
        some = np.arange(first, min(first + request.value_dim, request.key_len))
        value = np.zeros_like(inputs.value)
        value[:, :, some, some - first] = 1
        keys.append(some)
        actual.append(context.run(replace(inputs, value=value))[..., : some.size])
    found = describe_weight_error(
        context, np.concatenate(actual, axis=-1), np.concatenate(keys), stored=True
    )
    return make_check("identity value", found)


def _perturbed_ranges(key_len: int, channels: int) -> NDArray[np.float32]:
    """Return an (S, Dv) mask of values to perturb: keys from, or up to, each channel's border."""
    border = np.round(np.linspace(0, key_len, channels + 2)[1:-1]).astype(int)
    key = np.arange(key_len)[:, None]
    late = np.arange(channels) % 2 == 0
    return np.where(late, key >= border, key < border).astype(np.float32)


def _keys_after_median(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the keys after the last key of the median non-empty row, (B or 1, 1, S)."""
    key = np.arange(visible.shape[-1])
    late = np.zeros((visible.shape[0], 1, key.size), bool)
    for b, rows in enumerate(visible):
        last = np.where(rows, key, -1).max(axis=-1)
        last = last[last >= 0]
        late[b, 0] = key > (np.median(last) if last.size else key.size)
    return late


def _describe_change(
    context: CertificateContext,
    output: NDArray[np.float64],
    unaffected: NDArray[np.bool_],
    what: str,
) -> str:
    same = (output == context.output) | (np.isnan(output) & np.isnan(context.output))
    wrong = unaffected & context.nonempty_rows & ~same
    if not wrong.any():
        return ""
    at = argmax_index(wrong)
    return (
        f"hidden {what} must not change a bit of the output; perturbed, "
        f"{context.output[at]:.9g} became {output[at]:.9g} at {at}"
    )


def _permutations(key_len: int) -> list[NDArray[np.intp]]:
    """Return permutations: shuffled, first half reversed, neighbours swapped; no identity."""
    identity = np.arange(key_len)
    half = (key_len + 1) // 2
    pairs = identity ^ 1
    if key_len % 2:
        pairs[-1] = key_len - 1
    orders = (
        np.random.default_rng(0).permutation(key_len),
        np.concatenate([identity[:half][::-1], identity[half:]]),
        pairs,
    )
    return [order for order in orders if (order != identity).any()]


def _column_starts(context: CertificateContext) -> list[int]:
    """Return where blocks of Dv identity columns begin: all blocks if the budget allows."""
    request = context.request
    cells = request.batch * request.heads * request.query_len * request.key_len
    starts = list(range(0, request.key_len, request.value_dim))
    few = min(len(starts), max(2, min(MOST_CALLS, IDENTITY_BUDGET // cells)))
    chosen = np.unique(np.linspace(0, len(starts) - 1, few).astype(int))
    return [starts[i] for i in chosen]
