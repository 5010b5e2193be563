"""Whether a call's mask is the causal one that many frameworks have built in, without a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from attnpanel.kernels.request import Inputs, Request


def is_top_left_causal(inputs: Inputs, request: Request) -> bool:
    """Whether query i sees the keys up to i, no more and no fewer.

    The mask itself is looked at: inputs may come with another one than the request names.
    """
    if request.mask != "causal" or inputs.mask is None:
        return False
    top_left = request.align == "top_left" or request.query_len == request.key_len
    visible = request.visible()
    return top_left and visible is not None and np.array_equal(inputs.mask, visible)
