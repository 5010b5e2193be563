"""The checks of masks that no rule describes: as a mask, and as a bias of -inf.

The masks of the cases leave each query one run of keys, or two. A kernel may read from such a mask
only where its runs begin and end, or which blocks have hidden corners.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judgement import judge, wrong_elements
from attnpanel.bench.certify.reference import reference, visible_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs, Request

# Scores times channels up to which the checks are made.
MOST_WORK: Final = 2**23
MOST_WORK_OF_BIAS: Final = 2**21
# Share of the keys that stay visible.
SHARE: Final = 0.8
# Values of keys that a bias hides from every query.
LARGE: Final = np.float32(2.0**80)


def other_mask(context: CertificateContext) -> Check | None:
    """Check the output of the case's mask with holes in it, where it is not causal.

    Causal calls may be made by an option, without a mask.
    """
    request, mask = context.case.request, context.inputs.mask
    if mask is None or request.mask == "causal" or work_of(request) > MOST_WORK:
        return None
    inputs = replace(context.inputs, mask=with_holes(mask, context.case.seed))
    found = wrong_output(context, inputs, inputs)
    return make_check("other mask", found and f"with holes: {found}")


def infinite_bias(context: CertificateContext) -> Check | None:
    """Check that a bias of -inf hides keys as a mask does: whole thirds of them, and single ones.

    No query sees a key of the first third. Odd ones see none of the last, either, where every
    sequence has keys of the second.
    """
    request, bias = context.case.request, context.inputs.bias
    if bias is None or work_of(request) > MOST_WORK_OF_BIAS:
        return None
    visible = visible_keys(request, context.inputs)
    third = request.key_len // 3
    second = np.arange(request.key_len) // max(third, 1) == 1
    kept = np.random.default_rng(context.case.seed).random(visible.shape[2:]) < SHARE
    kept[:, :third] = False
    within = (visible & second).any(axis=-1).all(axis=(0, 1)) & (np.arange(len(kept)) % 2 == 1)
    kept[within] &= second
    # No query loses the last key that is left to it, of any sequence.
    left = visible & (second | ~within[:, None])
    kept |= (left & (np.cumsum(left[..., ::-1], axis=-1)[..., ::-1] == 1)).any(axis=(0, 1))
    unseen = np.logical_not((visible & kept).any(axis=-2, keepdims=True)).swapaxes(-1, -2)
    value = context.inputs.value
    if request.dtype != "float16":  # a weight of e^-60 shows, one of 0 does not
        value = np.where(unseen & (np.arange(request.key_len)[:, None] < third), LARGE, value)
    hiding = replace(
        context.inputs,
        value=value.astype(context.inputs.value.dtype),
        bias=np.where(kept, bias, bias.dtype.type(-np.inf)),
    )
    found = wrong_output(context, hiding, replace(context.inputs, mask=visible & kept))
    return make_check("infinite bias", found and f"-inf must hide keys: {found}")


def work_of(request: Request) -> int:
    """Return the multiplications of one call."""
    cells = request.batch * request.heads * request.query_len * request.key_len
    return cells * (request.head_dim + request.value_dim)


def wrong_output(
    context: CertificateContext,
    inputs: Inputs,
    equal: Inputs,
    *,
    alike: bool = False,
    slack: NDArray[np.floating] | None = None,
) -> str:
    """Return what is wrong with the output of inputs that are to give that of `equal`.

    Rows that are `alike` err alike, so only each element is judged. An element may err by `slack`
    of itself besides.
    """
    request, places = context.request, context.places
    judged = context.view.inputs(equal)
    expected = reference(request, judged)
    output = context.run(inputs)
    if slack is not None and output.shape == expected.output.shape:
        by = slack * np.abs(expected.output)
        output = output - np.clip(output - expected.output, -by, by)
    if alike:
        return wrong_elements(request, judged, output, expected, places=places)
    return "; ".join(judge(request, judged, output, expected, places=places).failures)


def with_holes(mask: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Return a mask in which further keys are hidden, but the first that each query sees."""
    kept = np.random.default_rng(seed).random(mask.shape) < SHARE
    first = mask & (np.cumsum(mask, axis=-1) == 1)
    return np.asarray(mask & (kept | first))
