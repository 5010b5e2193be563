"""The check of a mask that no rule describes.

The masks of the cases leave each query one run of keys, or two. A kernel may read from such a mask
only where its runs begin and end, or which blocks have hidden corners.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judgement import judge
from attnpanel.bench.certify.reference import reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check

# Scores times channels up to which the check is made.
MOST_WORK: Final = 2**23
# Share of the keys that stay visible.
SHARE: Final = 0.8


def other_mask(context: CertificateContext) -> Check | None:
    """Check the output of the case's mask with holes in it, where it is not causal.

    Causal calls may be made by an option, without a mask.
    """
    request, mask = context.case.request, context.inputs.mask
    cells = request.batch * request.heads * request.query_len * request.key_len
    small = cells * (request.head_dim + request.value_dim) <= MOST_WORK
    if mask is None or request.mask == "causal" or not small:
        return None
    inputs = replace(context.inputs, mask=with_holes(mask, context.case.seed))
    judged = context.view.inputs(inputs)
    expected = reference(context.request, judged)
    output = context.run(inputs)
    failures = judge(context.request, judged, output, expected, places=context.places).failures
    return make_check("other mask", f"with holes: {'; '.join(failures)}" if failures else "")


def with_holes(mask: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """Return a mask in which further keys are hidden, but the first that each query sees."""
    kept = np.random.default_rng(seed).random(mask.shape) < SHARE
    first = mask & (np.cumsum(mask, axis=-1) == 1)
    return np.asarray(mask & (kept | first))
