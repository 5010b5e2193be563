"""The checks of gradients: each against the reference, and the laws that hold for any values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.checks_mask import with_holes
from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.gradients_context import GAIN_LIMIT, RMS_LIMIT, doubles_exactly
from attnpanel.bench.certify.gradients_units import half_last_bit
from attnpanel.bench.certify.judged_rows import JudgedRows
from attnpanel.bench.certify.judgement import judge
from attnpanel.bench.certify.reference import reference, visible_keys
from attnpanel.bench.certify.rounding import round_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.bench.certify.gradients_context import Expected, GradientContext, Gradients
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs


def values(context: GradientContext) -> list[Check]:
    """Check each gradient against the reference: largest error, rms and gain."""
    return [
        make_check(f"d {name}", value_failures(context.expected, name, actual))
        for name, actual in context.actual.items()
    ]


def value_failures(expected: Expected, name: str, actual: NDArray[np.float64]) -> str:
    """Return what is wrong with the values of one gradient; empty if nothing is."""
    failures = [expected.excess(name, actual)]
    found = expected.statistics(name, actual)
    for what, limit in (("rms", RMS_LIMIT), ("gain", GAIN_LIMIT)):
        if found[what] > limit:
            failures.append(f"{what} up to {limit:g} passes; got {found[what]:.3g}")
    return "; ".join(filter(None, failures))


def hidden_keys(context: GradientContext) -> list[Check]:
    """Check that keys that no query sees, and queries without keys, have gradients of exactly 0."""
    visible = _visible(context)
    group = context.request.heads // context.request.kv_heads
    by_group = visible.reshape(len(visible), -1, group, *visible.shape[2:])
    unseen = np.logical_not(by_group.any(axis=(2, 3)))  # (B, Hkv, S)
    failures = [
        _nonzero(f"d {name} of hidden keys", context.actual[name], unseen[..., None])
        for name in ("key", "value")
    ]
    empty = np.logical_not(visible.any(axis=-1))
    failures.append(_nonzero("d query of empty rows", context.actual["query"], empty[..., None]))
    return [make_check("hidden keys", "; ".join(filter(None, failures)))]


def equal_values(context: GradientContext) -> list[Check]:
    """Check that d query and d key vanish if all values are equal: dP is then equal to delta."""
    value = np.broadcast_to(context.inputs.value[:, :, :1], context.inputs.value.shape)
    inputs = replace(context.inputs, value=value.copy())
    return _judged("equal values", context, inputs, context.output_gradient, ("query", "key"))


def one_row(context: GradientContext) -> list[Check]:
    """Check with dO = 1 in one row that d value is its weights, and what it can't reach exactly 0.

    The weights are those that the backward pass computed for itself.
    """
    request = context.request
    visible, group = _visible(context), request.heads // request.kv_heads
    given = np.zeros_like(context.output_gradient)
    failures = []
    heads = [(b, kv * group, kv) for b, kv in np.ndindex(request.batch, request.kv_heads)]
    rows = {}
    for b, head, _ in heads:
        seeing = np.flatnonzero(visible[b, head].any(axis=-1))
        if seeing.size:
            rows[b, head] = int(seeing[seeing.size // 2])
            given[b, head, rows[b, head]] = 1
    actual = context.run(context.inputs, given)
    expected = context.expect(context.inputs, given)
    elsewhere = np.ones(actual["query"].shape[:3], bool)
    unseen = np.ones(actual["value"].shape[:3], bool)
    for b, head, kv in heads:
        if (b, head) not in rows:
            continue
        row = rows[b, head]
        elsewhere[b, head, row] = False
        unseen[b, kv] = ~visible[b, head, row]
    failures += [
        _nonzero(f"d {name} of keys that the row can't see", actual[name], unseen[..., None])
        for name in ("key", "value")
    ]
    failures.append(_nonzero("d query of other rows", actual["query"], elsewhere[..., None]))
    if expected.linear and (found := expected.excess("value", actual["value"])):
        failures.append(f"d value must be the row's weights: {found}")
    return [make_check("one row", "; ".join(filter(None, failures)))]


def sums_of_products(context: GradientContext) -> list[Check]:
    """Check that Σ query · d query = Σ key · d key, over each group: both are Σ dS x."""
    expected, failures = context.expected, []
    for model in expected.models:
        group = model.group
        by_query = context.actual["query"][group.batch, group.heads] / expected.chain
        by_key = context.actual["key"][group.batch, group.kv_head]
        left, right = float((by_query * group.query).sum()), float((by_key * group.key).sum())
        dtype = context.request.dtype
        deviation = np.hypot(
            model.deviation("query", group.query, half_last_bit(by_query, dtype)),
            model.deviation("key", group.key, half_last_bit(by_key, dtype)),
        )
        if not abs(left - right) <= expected.passing * deviation:
            failures.append(
                f"Σ query · d query must be Σ key · d key to within {expected.passing:g} "
                f"deviations; got {left:.9g} and {right:.9g}, {abs(left - right) / deviation:.3g} "
                f"apart, in group {(group.batch, group.kv_head)}"
            )
    return [make_check("sums of products", "; ".join(failures[:1]))]


def shifted_keys(context: GradientContext) -> list[Check]:
    """Check that a vector added to every key, a constant to a row's scores, changes no d query."""
    inputs = context.inputs
    # On a grid of 1/32 of their size, shifted by whole steps: exact in every dtype.
    step = 2.0 ** (np.ceil(np.log2(np.abs(inputs.key).max() or 1.0)) - 5)
    key = np.rint(inputs.key / step) * step
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=context.request.head_dim)
    moved = replace(inputs, key=round_to(key + 32 * step * signs, context.request.dtype))
    return _judged("shifted keys", context, moved, context.output_gradient, ("query",))


def doubled(context: GradientContext) -> list[Check]:
    """Check that two calls agree, and that dO times a power of two multiplies them exactly."""
    request, backward = context.request, context.implementation.gradients
    again = context.run(context.inputs, context.output_gradient)
    repeatable = _first_difference(again, context.actual, 1)
    declared = backward is not None and request.device in backward.deterministic_on
    checks = []
    if declared or not repeatable:
        checks.append(
            make_check("determinism", repeatable and f"two calls must agree: {repeatable}")
        )
    if repeatable or not doubles_exactly(request):
        return checks
    found = ""
    for factor, (tiny, largest) in FACTORS.items():
        exact = _without_tiny_weights(context, tiny)
        once = {name: np.where(exact[name], array, 0) for name, array in context.actual.items()}
        scaled = context.run(context.inputs, context.output_gradient * np.float32(factor))
        scaled = {name: np.where(exact[name], array, 0) for name, array in scaled.items()}
        if wrong := _first_difference(scaled, once, factor, largest):
            found = found or f"{factor:g} · dO must multiply every gradient exactly: {wrong}"
    return [*checks, make_check("doubled", found)]


def repeated_calls(context: GradientContext) -> list[Check]:
    """Check that a preparation gives right gradients as often as it is asked."""
    failures = []
    for what, again in context.run_again():
        if _first_difference(again, context.actual, 1):
            failures += [
                f"{what}: d {name}: {found}"
                for name, array in again.items()
                if (found := context.expected.excess(name, array))
            ]
    return [make_check("repeated calls", "; ".join(failures[:1]))]


def other_ways(context: GradientContext) -> list[Check]:
    """Check the gradients of inputs and dO in other layouts, and each gradient asked for alone.

    Not of what compiles, since it would for each.
    """
    if context.implementation.compiles:
        return []
    for what, found in context.ways():
        if _first_difference(found, {name: context.actual[name] for name in found}, 1):
            for name, array in found.items():
                if wrong := context.expected.excess(name, array):
                    return [make_check("other ways", f"{what}: d {name}: {wrong}")]
    return [make_check("other ways", "")]


def other_mask(context: GradientContext) -> list[Check]:
    """Check small cases with holes in their mask, where it is not causal."""
    mask = context.inputs.mask
    if mask is None or context.request.mask == "causal" or context.cells > SUM_CELLS:
        return []
    inputs = replace(context.inputs, mask=with_holes(mask, 0))
    return _judged("other mask", context, inputs, context.output_gradient, tuple(context.actual))


def gradients_of_sum(context: GradientContext) -> list[Check]:
    """Check small cases with dO of a sum: one number that has no memory for each element."""
    if context.implementation.compiles or context.cells > SUM_CELLS:
        return []
    given = context.output_gradient
    one = np.broadcast_to(given.dtype.type(0.5), given.shape)
    return _judged("one number as dO", context, context.inputs, one, tuple(context.actual))


def expanded_heads(context: GradientContext) -> list[Check]:
    """Check small cases with one key head that is expanded: each copy has a gradient of its own."""
    claims = context.implementation.strided or context.implementation.adjacent_strided
    if not claims or context.request.kv_heads == 1 or context.cells > SUM_CELLS:
        return []
    given = context.inputs
    key, value = (np.broadcast_to(x[:, :1], x.shape) for x in (given.key, given.value))
    inputs = replace(given, key=key, value=value)
    names = tuple(context.actual)
    return _judged("one key head, expanded", context, inputs, context.output_gradient, names)


def trained_output(context: GradientContext) -> list[Check]:
    """Check that a call that is differentiated has the output of one that is not, or as right."""
    outputs = context.outputs()
    if outputs is None:
        return []
    output, plain = outputs
    failures: tuple[str, ...] = ()
    if not np.array_equal(output, plain, equal_nan=True):
        view = JudgedRows(context.request, None, context.places)
        inputs = view.inputs(context.inputs)
        expected = reference(view.request, inputs)
        failures = judge(view.request, inputs, output, expected, places=context.places).failures
    return [make_check("output while differentiated", "; ".join(failures))]


# Scores up to which a case has a reference for the gradients of the output's sum, too.
SUM_CELLS: Final = 2**15
# Powers of two, the last two of a loss that is scaled and of one that is a mean. With each, the
# weight below which products may be below the normal numbers, which lose bits or are flushed to
# zero, and the multiple beyond which a sum may be more than float32 and bfloat16 hold.
FACTORS: Final = {
    2.0: (2.0**-100, np.inf),
    2.0**6: (2.0**-100, 2.0**120),
    2.0**-20: (2.0**-64, np.inf),
}
# Laws are checked after the values, by their docstrings.
CHECKS: Final[tuple[Callable[[GradientContext], list[Check]], ...]] = (
    values,
    hidden_keys,
    sums_of_products,
    equal_values,
    one_row,
    shifted_keys,
    doubled,
    repeated_calls,
    other_ways,
    other_mask,
    gradients_of_sum,
    expanded_heads,
    trained_output,
)
# Those that need no further call, for cases where each takes long.
WITHOUT_CALLS: Final = CHECKS[:3]


def _judged(
    what: str,
    context: GradientContext,
    inputs: Inputs,
    given: NDArray[np.floating],
    names: tuple[str, ...],
) -> list[Check]:
    expected = context.expect(inputs, given)
    if not expected.linear:
        return []
    actual = context.run(inputs, given)
    found = [f"d {name}: {text}" for name in names if (text := expected.excess(name, actual[name]))]
    return [make_check(what, "; ".join(found))]


def _without_tiny_weights(context: GradientContext, tiny: float) -> dict[str, NDArray[np.bool_]]:
    """Return where each gradient is a sum of normal numbers, in shapes that broadcast to it."""
    request = context.request
    queries = np.ones((request.batch, request.heads, request.query_len, 1), bool)
    keys = np.ones((request.batch, request.kv_heads, 1, 1), bool)
    for model in context.expected.models:
        group = model.group
        rows = (group.visible & (model.found.weights < tiny)).any(axis=-1)
        queries[group.batch, group.heads, :, 0] = ~rows
        keys[group.batch, group.kv_head] = not rows.any()
    return {"query": queries, "key": keys, "value": keys, "bias": np.asarray(queries.all(axis=0))}


def _visible(context: GradientContext) -> NDArray[np.bool_]:
    request = context.request
    visible = visible_keys(request, context.inputs)
    return np.broadcast_to(visible, (request.batch, request.heads, *visible.shape[2:]))


def _nonzero(what: str, array: NDArray[np.float64], zero: NDArray[np.bool_]) -> str:
    wrong = np.broadcast_to(zero, array.shape) & (array != 0)
    if not wrong.any():
        return ""
    return f"{what} must be exactly 0; got {array[wrong][0]:.9g}"


def _first_difference(
    actual: Gradients, once: Gradients, factor: float, largest: float = np.inf
) -> str:
    for name, array in actual.items():
        right = factor * once[name]
        wrong = (array != right) & ~(np.abs(right) > largest)
        if wrong.any():
            return f"d {name} is {array[wrong][0]:.17g} for {once[name][wrong][0]:.17g}"
    return ""
