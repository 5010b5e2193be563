"""Decide whether an implementation may use its native causal option for a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.attention.mask_table import find_mask

if TYPE_CHECKING:
    from attnpanel.kernels.request import Inputs, Request


# First key, end of the keys, and no further condition, as in the table of masks.
CAUSAL_RULE = ("0", "p + 1", None)


def matches_request_mask(inputs: Inputs, request: Request) -> bool:
    """Return whether the given mask is the one that the request names.

    Only then may an implementation use its own causal option or mask function.
    """
    visible = request.visible()
    if visible is None or inputs.mask is None:
        return visible is None and inputs.mask is None
    return np.array_equal(inputs.mask, visible)


def requests_top_left_causal(request: Request) -> bool:
    """Return whether the request asks that query i sees exactly the keys up to i."""
    row = find_mask(request.mask)
    return (row.first, row.stop, row.only) == CAUSAL_RULE and (
        request.align == "top_left" or request.query_len == request.key_len
    )


def is_top_left_causal(inputs: Inputs, request: Request) -> bool:
    """Return whether query i sees exactly the keys up to i, by the request and the given mask."""
    return requests_top_left_causal(request) and matches_request_mask(inputs, request)
