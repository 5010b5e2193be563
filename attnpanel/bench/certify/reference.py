"""The reference result: attention in a wider dtype on the same rounded inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.attention.reference import attend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

BLOCK_ROWS: Final = 1024  # scores of one block at S = 8192 take 64 MB in float64


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference result of one attention call, and the scales of its rounding errors.

    Attributes
    ----------
    output : float array of shape (B, H, T, Dv)
        Like the other arrays, 0 on empty rows.
    logsumexp : float array of shape (B, H, T)
        In nats; -inf on empty rows.
    magnitude : float array of shape (B, H, T, Dv)
        ``weights @ |value|``: a relative error of the weights times this is the output's error.
    value_sum : float array of shape (B, H, T, Dv)
        ``|value|`` summed over the visible keys: bounds the effect of weights flushed to zero.
    empty : bool array of shape (B, H, T)
        True where the mask hides every key from the query.
    """

    output: NDArray[np.floating]
    logsumexp: NDArray[np.floating]
    magnitude: NDArray[np.floating]
    value_sum: NDArray[np.floating]
    empty: NDArray[np.bool_]


def reference(request: Request, inputs: Inputs) -> Reference:
    """Compute attention in float64, or in longdouble if the request is float64.

    Where the platform's longdouble is float64 (Windows, macOS on ARM), the reference for a float64
    request has rounding errors as large as those it is compared with.

    Parameters
    ----------
    request : Request
    inputs : Inputs
        Already rounded to the request's dtype, so input rounding does not count as an error.

    Returns
    -------
    Reference
    """
    shape = (request.batch, request.heads, request.query_len)
    wide = wide_type(request)
    output, magnitude, value_sum = (np.empty((*shape, request.value_dim), wide) for _ in range(3))
    logsumexp = np.empty(shape, wide)
    empty = np.empty(shape, bool)
    for block in query_blocks(request, inputs):
        result = attend(
            block.query,
            block.key,
            block.value,
            mask=block.visible,
            bias=block.bias,
            scale=request.score_scale,
            temperature=request.temperature,
        )
        output[block.index] = result.output
        logsumexp[block.index] = result.logsumexp
        magnitude[block.index] = result.weights @ np.abs(block.value)
        value_sum[block.index] = block.visible @ np.abs(block.value)
        empty[block.index] = ~block.visible.any(axis=-1)
    return Reference(output, logsumexp, magnitude, value_sum, empty)


def reference_weights(
    request: Request, inputs: Inputs, batch: int, head: int
) -> NDArray[np.floating]:
    """Compute the weights (T, S) of one head in the dtype of :func:`reference`; 0 on empty rows."""
    blocks = [
        attend(
            block.query,
            block.key,
            None,
            mask=block.visible,
            bias=block.bias,
            scale=request.score_scale,
            temperature=request.temperature,
        ).weights
        for block in query_blocks(request, inputs, only=(batch, head))
    ]
    return np.concatenate(blocks)


def visible_keys(request: Request, inputs: Inputs) -> NDArray[np.bool_]:
    """Expand the mask to (B or 1, H or 1, T, S), True where a query may attend to a key."""
    pairs = (request.query_len, request.key_len)
    mask = np.ones(pairs, bool) if inputs.mask is None else inputs.mask
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return np.broadcast_to(mask, (*mask.shape[:2], *pairs))


@dataclass(frozen=True, eq=False)
class QueryBlock:
    """A block of queries of one head and its keys, in the reference dtype.

    Attributes
    ----------
    index : (int, int, slice)
        Batch entry, head and queries: where the block's results belong.
    query : float array of shape (n, D)
    key : float array of shape (S, D)
    value : float array of shape (S, Dv)
    visible : bool array of shape (n, S)
    bias : float array of shape (n, S), or None
    """

    index: tuple[int, int, slice]
    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    visible: NDArray[np.bool_]
    bias: NDArray[np.floating] | None


def query_blocks(
    request: Request, inputs: Inputs, only: tuple[int, int] | None = None
) -> Iterator[QueryBlock]:
    """Yield a call in blocks of queries of one head, to bound the size of its matrices.

    Parameters
    ----------
    request : Request
    inputs : Inputs
    only : tuple of int, optional
        Restrict to this batch entry and head.
    """
    wide = wide_type(request)
    mask = visible_keys(request, inputs)
    mask = np.broadcast_to(mask, (request.batch, request.heads, *mask.shape[2:]))
    group = request.heads // request.kv_heads
    heads = [only] if only else list(np.ndindex(request.batch, request.heads))
    for b, h in heads:
        key, value = (x[b, h // group].astype(wide) for x in (inputs.key, inputs.value))
        for start in range(0, request.query_len, BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            query = inputs.query[b, h, rows].astype(wide)
            bias = None if inputs.bias is None else inputs.bias[h, rows].astype(wide)
            yield QueryBlock((b, h, rows), query, key, value, mask[b, h, rows], bias)


def wide_type(request: Request) -> type[np.floating]:
    """Return the dtype of the reference for a request."""
    return np.longdouble if request.dtype == "float64" else np.float64
