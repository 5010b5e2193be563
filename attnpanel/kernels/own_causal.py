"""Whether an implementation may use its own causal option instead of the mask it is handed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from attnpanel.kernels.request import Inputs, Request


def mask_is_the_requests(inputs: Inputs, request: Request) -> bool:
    """Whether the mask handed over is the one that the request's words describe.

    Only then may an implementation use its own causal option or mask function instead.
    """
    visible = request.visible()
    if visible is None or inputs.mask is None:
        return visible is None and inputs.mask is None
    return np.array_equal(inputs.mask, visible)


def starts_top_left(request: Request) -> bool:
    """Whether the request asks that query i sees the keys up to i, no more and no fewer."""
    return request.mask == "causal" and (
        request.align == "top_left" or request.query_len == request.key_len
    )


def is_top_left_causal(inputs: Inputs, request: Request) -> bool:
    """Whether query i sees the keys up to i, in words and in the mask that is there."""
    return starts_top_left(request) and mask_is_the_requests(inputs, request)
