"""The checks of sizes that a case each would be too many for: lengths, and numbers of heads."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judged_rows import JudgedRows
from attnpanel.bench.certify.judgement import wrong_elements
from attnpanel.bench.certify.long_cases import FEW_HEADS, OTHER_KEYS, OTHER_QUERIES
from attnpanel.bench.certify.reference import reference
from attnpanel.kernels.arrays import to_float64

if TYPE_CHECKING:
    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs, Request

# More than an index of 16 bits counts.
LEAST_HEADS: Final = 65_540
# Every remainder in a block of as many.
BLOCK: Final = 128
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


def other_lengths(context: CertificateContext) -> Check | None:
    """Check the first keys, or queries, of a case: every remainder of S, or T, in a block.

    They are tried in random order, as many as the limits allow.
    """
    request = replace(context.case.request, device="cpu")
    if request not in (*OTHER_KEYS, *OTHER_QUERIES) or not calls_are_cheap(context):
        return None
    end, cpu_end = time.monotonic() + LIMIT_S, time.process_time() + LIMIT_CPU_S
    for count, less in enumerate(np.random.default_rng(context.case.seed).permutation(BLOCK)):
        if time.monotonic() > end or time.process_time() > cpu_end:
            made = f"made of {count} lengths of {BLOCK}, in the time allowed"
            return replace(make_check("other lengths", ""), detail=made)
        lengths = [request.query_len, request.key_len]
        lengths[request in OTHER_KEYS] -= int(less)
        if found := _wrong_at(context, lengths[0], lengths[1]):
            found = f"T {lengths[0]}, S {lengths[1]}: {found}"
            return make_check("other lengths", found)
    return make_check("other lengths", "")


def calls_are_cheap(context: CertificateContext) -> bool:
    """Return whether an implementation computes here and does not compile for each request."""
    implementation = context.implementation
    return not (
        implementation.compiles or context.case.request.device in implementation.interpreted_on
    )


def _wrong_at(context: CertificateContext, query_len: int, key_len: int) -> str:
    """Return what is wrong with the output for the first queries and keys."""
    request = context.case.request.shortened(query_len, key_len)
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
    """Return copies of the first queries and keys of inputs without bias, with a request's mask."""
    return replace(
        inputs,
        query=inputs.query[:, :, : request.query_len].copy(),
        key=inputs.key[:, :, : request.key_len].copy(),
        value=inputs.value[:, :, : request.key_len].copy(),
        mask=request.visible(),
    )
