"""The checks of sizes that a case each would be too many for: lengths, widths, numbers of heads."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judged_rows import JudgedRows
from attnpanel.bench.certify.judgement import wrong_elements
from attnpanel.bench.certify.long_cases import (
    FEW_HEADS,
    OTHER_KEYS,
    OTHER_QUERIES,
    OTHER_VALUE_WIDTHS,
    OTHER_WIDTHS,
)
from attnpanel.bench.certify.reference import reference
from attnpanel.kernels.arrays import to_float64

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs, Request

# More than an index of 16 bits counts.
LEAST_HEADS: Final = 65_540
# Of which there are fewer queries, keys, channels, or channels of values.
OTHER: Final = (OTHER_QUERIES, OTHER_KEYS, OTHER_WIDTHS, OTHER_VALUE_WIDTHS)
# Every remainder in a block of as many.
BLOCK: Final = 128
# Numbers of heads, and of sequences.
NUMBERS: Final = (*range(1, 35), *range(40, 129, 8), 129, 192, 200, 255, 256, 257, 384, 512, 1024)
# Seconds, and of them CPU seconds, after which no further length is tried: a call of another length
# may compile. A busy machine may take long for few CPU seconds.
LIMIT_S: Final = 40.0
LIMIT_CPU_S: Final = 5.0


def many_heads(context: CertificateContext) -> Check | None:
    """Check that a batch of many copies of one small case has that output in each."""
    request, implementation = context.case.request, context.implementation
    if replace(request, device="cpu") != FEW_HEADS or not calls_are_cheap(context):
        return None
    copies = -(-LEAST_HEADS // (request.batch * request.heads))
    many = replace(request, batch=copies * request.batch)
    if implementation.unsupported(many):
        return None
    given = context.inputs
    arrays = {name: getattr(given, name) for name in ("query", "key", "value")}
    inputs = replace(
        given, **{name: np.concatenate([array] * copies) for name, array in arrays.items()}
    )
    call = implementation.prepare(inputs, many, threads=context.threads)
    output = to_float64(call().output).reshape(copies, *context.output.shape)
    found = context.excess(output, context.reference.output, context.unit, np.ones((), bool))
    heads = many.batch * many.heads
    return make_check("many heads", found and f"of {heads} heads, in copies of 6: {found}")


def other_numbers(context: CertificateContext) -> Check | None:
    """Check one small case in other numbers of heads, and of sequences."""
    request, implementation = context.case.request, context.implementation
    if replace(request, device="cpu") != FEW_HEADS or not calls_are_cheap(context):
        return None
    given, unit = context.inputs, context.unit
    every = np.arange(request.batch * request.heads)

    def heads_of(array: NDArray[np.floating], numbers: NDArray[np.intp]) -> NDArray[np.floating]:
        return array.reshape(-1, *array.shape[2:])[numbers]

    for count in NUMBERS:
        numbers = np.resize(every, count)
        queries, keys, values, right, units = (
            heads_of(array, numbers)
            for array in (given.query, given.key, given.value, context.reference.output, unit)
        )
        for what, axis, asked in (
            ("heads", 0, replace(request, batch=1, heads=count, kv_heads=count)),
            ("sequences", 1, replace(request, batch=count, heads=1, kv_heads=1)),
        ):
            if implementation.unsupported(asked):
                continue
            query, key, value = (np.expand_dims(x, axis).copy() for x in (queries, keys, values))
            inputs = replace(given, query=query, key=key, value=value)
            call = implementation.prepare(inputs, asked, threads=context.threads)
            output = to_float64(call().output).reshape(right.shape)
            if found := context.excess(output, right, units, np.ones((), bool)):
                return make_check("other numbers", f"of {count} {what}: {found}")
    return make_check("other numbers", "")


def other_lengths(context: CertificateContext) -> Check | None:
    """Check the first keys, queries or channels of a case: every remainder in a block.

    They are tried in random order, as many as the limits allow.
    """
    request = replace(context.case.request, device="cpu")
    which = next((n for n, some in enumerate(OTHER) if request in some), None)
    if which is None or not calls_are_cheap(context):
        return None
    end, cpu_end = time.monotonic() + LIMIT_S, time.process_time() + LIMIT_CPU_S
    for count, less in enumerate(np.random.default_rng(context.case.seed).permutation(BLOCK)):
        if time.monotonic() > end or time.process_time() > cpu_end:
            made = f"made of {count} lengths of {BLOCK}, in the time allowed"
            return replace(make_check("other lengths", ""), detail=made)
        sizes = [request.query_len, request.key_len, request.head_dim, request.value_dim]
        sizes[which] -= int(less)
        if which == OTHER.index(OTHER_WIDTHS):
            sizes[3] = sizes[2]
        if found := _wrong_at(context, *sizes):
            found = "T {}, S {}, D {}, Dv {}: {}".format(*sizes, found)
            return make_check("other lengths", found)
    return make_check("other lengths", "")


def calls_are_cheap(context: CertificateContext) -> bool:
    """Return whether an implementation computes here and does not compile for each request."""
    implementation = context.implementation
    return not (
        implementation.compiles or context.case.request.device in implementation.interpreted_on
    )


def _wrong_at(
    context: CertificateContext, query_len: int, key_len: int, head_dim: int, value_dim: int
) -> str:
    """Return what is wrong with the output for the first queries, keys and channels."""
    request = context.case.request.shortened(query_len, key_len)
    request = replace(request, head_dim=head_dim, value_dim=value_dim)
    if context.implementation.unsupported(request):
        return ""
    inputs = shortened(context.inputs, request)
    call = context.implementation.prepare(inputs, request, threads=context.threads)
    view = JudgedRows(request, None, context.places)
    judged = view.inputs(inputs)
    expected = reference(view.request, judged)
    output = to_float64(call().output)
    return wrong_elements(view.request, judged, output, expected, places=context.places)


def shortened(inputs: Inputs, request: Request) -> Inputs:
    """Return copies of the first of inputs without bias, of all axes, with a request's mask."""
    width = request.head_dim
    return replace(
        inputs,
        query=inputs.query[:, :, : request.query_len, :width].copy(),
        key=inputs.key[:, :, : request.key_len, :width].copy(),
        value=inputs.value[:, :, : request.key_len, : request.value_dim].copy(),
        mask=request.visible(),
    )
