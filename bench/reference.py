"""What is right: attention in a wider type on the same rounded inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.attention import attend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

ROWS_AT_ONCE: Final = 1024  # a block of queries against S = 8192 keys is 64 MB in float64


@dataclass(frozen=True, eq=False)
class Reference:
    """The right answer of one attention call, and what its rounding errors are in proportion to.

    Attributes
    ----------
    output : float array of shape (B, H, T, Dv)
        0 on empty rows, like the rest.
    logsumexp : float array of shape (B, H, T)
        In nats; -inf on empty rows.
    magnitude : float array of shape (B, H, T, Dv)
        ``weights @ |value|``: relative errors of the weights move the output by that much.
    value_sum : float array of shape (B, H, T, Dv)
        ``|value|`` summed over the visible keys: what a flushed weight can be multiplied with.
    empty : bool array of shape (B, H, T)
        Whether the query may see no key.
    """

    output: NDArray[np.floating]
    logsumexp: NDArray[np.floating]
    magnitude: NDArray[np.floating]
    value_sum: NDArray[np.floating]
    empty: NDArray[np.bool_]


def reference(request: Request, inputs: Inputs) -> Reference:
    """Compute attention in float64, or in longdouble where float64 is what is judged.

    Where the platform's longdouble is float64 (Windows, macOS on ARM) the reference of a float64
    request carries rounding errors of its own, of the size of those that it judges.

    Parameters
    ----------
    request : Request
    inputs : Inputs
        Already rounded: that rounding is nobody's error.

    Returns
    -------
    Reference
    """
    shape = (request.batch, request.heads, request.query_len)
    wide = wide_type(request)
    output, magnitude, value_sum = (np.empty((*shape, request.value_dim), wide) for _ in range(3))
    logsumexp = np.empty(shape, wide)
    empty = np.empty(shape, bool)
    for part in parts(request, inputs):
        result = attend(
            part.query,
            part.key,
            part.value,
            mask=part.visible,
            bias=part.bias,
            scale=request.score_scale,
            temperature=request.temperature,
        )
        output[part.at] = result.output
        logsumexp[part.at] = result.logsumexp
        magnitude[part.at] = result.weights @ np.abs(part.value)
        value_sum[part.at] = part.visible @ np.abs(part.value)
        empty[part.at] = ~part.visible.any(axis=-1)
    return Reference(output, logsumexp, magnitude, value_sum, empty)


def reference_weights(
    request: Request, inputs: Inputs, batch: int, head: int
) -> NDArray[np.floating]:
    """Weights of one head, of shape (T, S), in the type of :func:`reference`; 0 on empty rows."""
    blocks = [
        attend(
            part.query,
            part.key,
            None,
            mask=part.visible,
            bias=part.bias,
            scale=request.score_scale,
            temperature=request.temperature,
        ).weights
        for part in parts(request, inputs, only=(batch, head))
    ]
    return np.concatenate(blocks)


def visible_keys(request: Request, inputs: Inputs) -> NDArray[np.bool_]:
    """The mask as (B or 1, H or 1, T, S), True where a query may attend to a key."""
    pairs = (request.query_len, request.key_len)
    mask = np.ones(pairs, bool) if inputs.mask is None else inputs.mask
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return np.broadcast_to(mask, (*mask.shape[:2], *pairs))


@dataclass(frozen=True, eq=False)
class Part:
    """Some queries of one head and its keys, in the wide type.

    Attributes
    ----------
    at : (int, int, slice)
        Batch entry, head and queries: where its results go.
    query : float array of shape (n, D)
    key : float array of shape (S, D)
    value : float array of shape (S, Dv)
    visible : bool array of shape (n, S)
    bias : float array of shape (n, S), or None
    """

    at: tuple[int, int, slice]
    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    visible: NDArray[np.bool_]
    bias: NDArray[np.floating] | None


def parts(request: Request, inputs: Inputs, only: tuple[int, int] | None = None) -> Iterator[Part]:
    """Cut a call into blocks of queries of one head, so that its matrices stay small.

    Parameters
    ----------
    request : Request
    inputs : Inputs
    only : tuple of int, optional
        The one batch entry and head that is wanted.
    """
    wide = wide_type(request)
    mask = visible_keys(request, inputs)
    mask = np.broadcast_to(mask, (request.batch, request.heads, *mask.shape[2:]))
    group = request.heads // request.kv_heads
    heads = [only] if only else list(np.ndindex(request.batch, request.heads))
    for b, h in heads:
        key, value = (x[b, h // group].astype(wide) for x in (inputs.key, inputs.value))
        for start in range(0, request.query_len, ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            query = inputs.query[b, h, rows].astype(wide)
            bias = None if inputs.bias is None else inputs.bias[h, rows].astype(wide)
            yield Part((b, h, rows), query, key, value, mask[b, h, rows], bias)


def wide_type(request: Request) -> type[np.floating]:
    """The type that a request is judged in."""
    return np.longdouble if request.dtype == "float64" else np.float64
