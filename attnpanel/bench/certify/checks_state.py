"""The checks of what a kernel may remember: earlier calls, addresses and layouts of its inputs."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judged_rows import fresh_copy, inputs_of, reference_of
from attnpanel.bench.certify.judgement import judge
from attnpanel.kernels.arrays import to_float64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs

# The calls of one preparation that are compared; the last in small cases only.
CALLS: Final = (2, 3, 7, 50)
# Scores times channels up to which a case is called 50 times, and seven times.
SMALL: Final = 2**20
MEDIUM: Final = 2**26
# Added to a case's seed for the other inputs that are written into the same arrays.
OTHER_SEED: Final = 2**20


def repeated_calls(context: CertificateContext) -> Check:
    """Check that later calls of one preparation return the same bits as the first."""
    count = calls_of(context)
    first = to_float64(context.raw.output)
    for call in range(2, count + 1):  # the numbers of calls of this preparation
        output = context.call().output
        if call in CALLS and not np.array_equal(to_float64(output), first, equal_nan=True):
            return make_check(
                "repeated calls", f"call {call} must return the bits of the first; got others"
            )
    return make_check("repeated calls", "")


def calls_of(context: CertificateContext) -> int:
    """Return how many calls of one preparation are made, by the size of the case."""
    full = context.case.request
    cells = full.batch * full.heads * full.query_len * full.key_len
    work = cells * (full.head_dim + full.value_dim)
    return CALLS[3] if work <= SMALL else CALLS[2] if work <= MEDIUM else CALLS[1]


def changed_inputs(context: CertificateContext) -> Check:
    """Check that new inputs at the addresses of old ones give the new inputs' result.

    Inputs of the same case from another seed are written into the arrays of a preparation, and
    prepared again. Where the implementation declares that it reads its inputs in place, the
    earlier preparation must then return the same result.
    """
    request, view = context.case.request, context.view
    other = replace(context.case, seed=context.case.seed + OTHER_SEED)
    storage = fresh_copy(context.inputs)
    before = context.implementation.prepare(storage, request, threads=context.threads)
    first = view.of(to_float64(before().output))
    failures = context.judge(first).failures
    if failures:
        return make_check("changed inputs", f"in fresh storage: {'; '.join(failures)}")
    _write(storage, inputs_of(other))
    after = context.implementation.prepare(storage, request, threads=context.threads)
    second = view.of(to_float64(after().output))
    expected, judged = reference_of(other, view), view.inputs(storage)
    failures = judge(view.request, judged, second, expected, places=view.places).failures
    if failures:
        return make_check("changed inputs", f"prepared again: {'; '.join(failures)}")
    # Without that declaration it may have copied all of the inputs, or some of them.
    if request.dtype in context.implementation.reads_in_place:
        again = view.of(to_float64(before().output))
        if not np.array_equal(again, second, equal_nan=True):
            return make_check(
                "changed inputs",
                "a call that reads its inputs in place must see that they changed; it did not",
            )
    return make_check("changed inputs", "")


def strided_inputs(context: CertificateContext) -> Check | None:
    """Check the result of inputs that are not contiguous, if the implementation claims them."""
    if not context.implementation.strided:
        return None
    strided = replace(
        context.inputs,
        query=_heads_last(context.inputs.query),
        key=_every_second(context.inputs.key),
        value=_heads_last(context.inputs.value),
    )
    failures = context.judge(context.run(strided)).failures
    return make_check("strided inputs", "; ".join(failures))


def _write(storage: Inputs, values: Inputs) -> None:
    for field in fields(storage):
        array = getattr(storage, field.name)
        if array is not None and field.name != "mask":
            array[...] = getattr(values, field.name)


def _heads_last(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array, (B, H, N, D), as a view of one that is stored as (B, N, H, D)."""
    return np.ascontiguousarray(array.swapaxes(1, 2)).swapaxes(1, 2)


def _every_second(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array as a view of every second channel of one with nan in between."""
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]
