"""The check that nan and inf in what a query uses reach its output, and reach nothing else.

A kernel that swallows them (a maximum that skips nan, scores or values that are clamped) hides the
fault of the layer before it, so it has to declare that. One that spreads them lets one sequence of
a batch spoil the others, or one query the others of its block. (Between heads they may spread: an
output projection mixes these.)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.checks_state import is_small
from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judgement import argmax_index
from attnpanel.bench.certify.reference import reference_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.implementation import Implementation, NonFinite
    from attnpanel.kernels.request import Inputs, Request

# What is written, and what it is then in. All of it in small cases, one of it in others.
CONTENTS: Final[dict[str, NonFinite]] = {
    "value nan": "values",
    "key inf": "scores",
    "query nan": "scores",
    "value inf": "values",
    "key nan": "scores",
    "bias nan": "scores",
}
# A row that gives a value less weight may skip it.
LEAST_WEIGHT: Final = 1e-3


def visible_contents(context: CertificateContext) -> Check | None:
    """Check nan and inf in a key and value that a query sees, in a query and in the bias."""
    declared = context.implementation.swallows
    rows = np.argwhere(~context.reference.empty)
    if declared is None or not len(rows):
        return None
    rng = np.random.default_rng(context.case.seed)
    contents = [name for name in CONTENTS if context.inputs.bias is not None or name[0] != "b"]
    if not is_small(context):
        contents = [str(rng.choice(contents))]
    for content in contents:
        batch, head, row = (int(index) for index in rng.choice(rows))
        weights = reference_weights(context.request, context.judged, batch, head)
        key = int(weights[row].argmax())
        inputs = with_content(
            context.case.request, context.inputs, content, (batch, head, row), key
        )
        with np.errstate(invalid="ignore", over="ignore"):
            output = context.run(inputs)
        reached = np.arange(len(weights)) == row
        if content.startswith("value"):
            reached |= weights[:, key] > LEAST_WEIGHT
        swallowed = np.isfinite(output[batch, head][reached])
        if swallowed.any() and CONTENTS[content] not in declared:
            number = output[batch, head][reached][swallowed][0]
            return make_check(
                "visible contents",
                f"{content} of what a query uses must make its output nan or inf; got {number:.9g} "
                f"in batch {batch}, head {head}",
            )
        if content.startswith("bias"):  # all sequences use it
            continue
        if content.startswith("query") and (found := _wrong_elsewhere(context, output, row)):
            return make_check("visible contents", f"{content} of query {row}: {found}")
        wrong = context.nonempty_rows & ~_equal(output, context.output)
        wrong[batch] = False
        if wrong.any():
            at = argmax_index(wrong)
            return make_check(
                "visible contents",
                f"{content} of batch {batch} must not change a bit of others; "
                f"{context.output[at]:.9g} became {output[at]:.9g} at {at}",
            )
    return make_check("visible contents", "")


def _wrong_elsewhere(context: CertificateContext, output: NDArray[np.float64], row: int) -> str:
    """Return what is wrong with the outputs of other queries than this one."""
    others = output.copy()
    others[:, :, row] = context.output[:, :, row]
    return "; ".join(context.judge(others).failures)


def describe_swallowed(implementation: Implementation) -> str:
    """Return whose nan and inf an implementation declares not to show, in words."""
    if implementation.swallows is None:
        return "not declared"
    return ", ".join(sorted(implementation.swallows)) or "nothing"


def with_content(
    request: Request, inputs: Inputs, content: str, row: tuple[int, int, int], key: int
) -> Inputs:
    """Return inputs of which this row, (batch, head, query), uses nan or inf."""
    name, _, number = content.partition(" ")
    batch, head, query = row
    kv_head = head // (request.heads // request.kv_heads)
    array = getattr(inputs, name).copy()
    place: tuple[int, ...] = {"query": row, "bias": (head, query, key)}.get(
        name, (batch, kv_head, key)
    )
    array[place] = np.inf if number == "inf" else np.nan
    if content == "key inf":  # the score is inf, not -inf, which would be a weight of 0
        sign = np.copysign(1.0, request.score_scale)
        array[place] *= sign * np.copysign(1.0, inputs.query[row])
    return replace(inputs, **{name: array})


def _equal(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
    equal: NDArray[np.bool_] = (first == second) | (np.isnan(first) & np.isnan(second))
    return equal
