"""Certify a case of any direction: its attention, or the gradients that are timed."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from attnpanel.bench.certify.certificate import basis_of, certify
from attnpanel.bench.certify.gradients_certificate import certify_gradients
from attnpanel.bench.certify.meta_device import certify_fake
from attnpanel.bench.run.records import Agreement
from attnpanel.kernels.reasons import device_is_here, no_device

if TYPE_CHECKING:
    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.certify.gradients_certificate import GradientCertificate
    from attnpanel.kernels.implementation import Implementation

# The float64 reference holds a dozen matrices of the scores of a key head's queries.
MAX_GROUP_SCORES: Final = 2**24


def certify_direction(implementation: Implementation, case: Case, *, threads: int) -> Agreement:
    """Certify what a case computes; without its device, only the shape and dtype of an attention.

    Of gradients, `max_ratio` is the largest error of any of them in units.
    """
    request = case.request
    here = device_is_here(request.device)
    if request.direction == "forward":
        if here:
            return certify(implementation, case, threads=threads)
        return certify_fake(implementation, case)
    blank = Agreement(
        implementation.name, case.name, "unsupported", basis_of(implementation, request), (), ()
    )
    scores = request.heads // request.kv_heads * request.query_len * request.key_len
    if implementation.graded:
        return replace(blank, reasons=("gradients of what is graded are not judged",))
    if scores > MAX_GROUP_SCORES:
        why = f"gradients are judged up to {MAX_GROUP_SCORES} scores a key head; got {scores}"
        return replace(blank, reasons=(why,))
    if not here:
        return replace(blank, reasons=(no_device(request.device),))
    forward = replace(case, request=replace(request, direction="forward"))
    found = _certified(implementation, forward)
    largest = max(found.units.values(), default=math.nan)
    return replace(
        blank,
        verdict=found.verdict,
        reasons=found.reasons,
        checks=found.checks,
        max_ratio=largest if math.isfinite(largest) else None,
    )


@functools.lru_cache(maxsize=64)
def _certified(implementation: Implementation, case: Case) -> GradientCertificate:
    """Certify gradients once for the two directions, backward and both, that have them."""
    return certify_gradients(implementation, case)
