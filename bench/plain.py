"""Plain attention in 16 bits: what keeping scores and weights in the inputs' dtype costs anyone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from bench.reference import parts
from bench.rounding import round_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

# Where libraries put the scale: on the scores, on the query, its root on query and key.
PLACES: Final = ("scores", "query", "both")


def plain_attention(request: Request, inputs: Inputs, place: str) -> NDArray[np.floating]:
    """Compute attention with every step rounded to the request's 16-bit dtype.

    Products and the softmax are computed in float32, as on any 16-bit hardware, and rounded when
    they are stored.

    Parameters
    ----------
    request : Request
    inputs : Inputs
    place : {"scores", "query", "both"}
        What the scale multiplies.

    Returns
    -------
    float32 array of shape (B, H, T, Dv)
        0 on rows that see no key.
    """

    def stored(array: NDArray[np.floating]) -> NDArray[np.floating]:
        return round_to(array, request.dtype).astype(np.float32)

    shape = (request.batch, request.heads, request.query_len, request.value_dim)
    output = np.empty(shape, np.float32)
    for part in parts(request, inputs):
        query, key, value = (x.astype(np.float32) for x in (part.query, part.key, part.value))
        scores = _scaled_product(query, key, request.score_scale, place, stored)
        if part.bias is not None:
            scores = stored(scores + part.bias)
        if request.temperature != 1:
            scores = stored(scores / np.float32(request.temperature))
        scores[~part.visible] = -np.inf
        peak = scores.max(axis=-1, keepdims=True)
        weights = np.exp(scores - np.where(np.isneginf(peak), 0, peak))
        total = weights.sum(axis=-1, keepdims=True)
        weights = stored(weights / np.where(total == 0, 1, total))
        output[part.at] = stored(weights @ value)
    return output


def _scaled_product(
    query: NDArray[np.floating],
    key: NDArray[np.floating],
    scale: float,
    place: str,
    stored: Callable[[NDArray[np.floating]], NDArray[np.floating]],
) -> NDArray[np.floating]:
    match place:
        case "scores":
            return stored(stored(query @ key.T) * np.float32(scale))
        case "query":
            return stored(stored(query * np.float32(scale)) @ key.T)
    root = np.float32(np.sqrt(abs(scale)))
    return stored(stored(query * root) @ stored(key * root * np.float32(np.sign(scale))).T)
