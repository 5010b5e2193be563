"""What is right: attention in a wider type on the same rounded inputs, and how hard each row is."""

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
    condition : float array of shape (B, H, T)
        See :func:`condition`.
    empty : bool array of shape (B, H, T)
        Whether the query may see no key.
    """

    output: NDArray[np.floating]
    logsumexp: NDArray[np.floating]
    magnitude: NDArray[np.floating]
    value_sum: NDArray[np.floating]
    condition: NDArray[np.floating]
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
    wide = _wide(request)
    output, magnitude, value_sum = (np.empty((*shape, request.value_dim), wide) for _ in range(3))
    logsumexp = np.empty(shape, wide)
    empty = np.empty(shape, bool)
    for part in _parts(request, inputs):
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
    return Reference(output, logsumexp, magnitude, value_sum, condition(request, inputs), empty)


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
        for part in _parts(request, inputs, only=(batch, head))
    ]
    return np.concatenate(blocks)


def condition(request: Request, inputs: Inputs) -> NDArray[np.floating]:
    """How far, in units of roundoff, rounding moves a score of each row, of shape (B, H, T).

    ``κ_i = max_j (|scale| e_ij + |bias_ij|) / temperature`` over the keys that query i may see,
    dimensionless; 0 on empty rows. With ``x_d = q_id k_jd``, ::

        e_ij = (sqrt(D) sqrt(Σ_d x_d^2) + sqrt(D / 3) |Σ_d x_d|) / 2

    is what summing x_1 … x_D one after the other costs when roundings are of random sign: the
    root of the sum of the squared partial sums, which have a fluctuating part (the first term)
    and a trend towards the score (the second). Measured over 4 to 256 channels, random, of one
    sign, with outlier channels and with near ties, correct code errs by 0.1 to 4.2 of it; by
    ``Σ_d |x_d|``, the worst case's yardstick without its factor D, up to 26, so that a bound of
    8 of those would fail it.

    References
    ----------
    Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019.
    """
    channels = request.head_dim
    found = np.empty((request.batch, request.heads, request.query_len), _wide(request))
    for part in _parts(request, inputs):
        fluctuation = np.sqrt(channels * (part.query**2 @ part.key.T**2))
        trend = np.sqrt(channels / 3) * np.abs(part.query @ part.key.T)
        size = abs(request.score_scale) * (fluctuation + trend) / 2
        if part.bias is not None:
            size = size + np.abs(part.bias)
        found[part.at] = np.where(part.visible, size, 0).max(axis=-1) / request.temperature
    return found


def visible_keys(request: Request, inputs: Inputs) -> NDArray[np.bool_]:
    """The mask as (B or 1, H or 1, T, S), True where a query may attend to a key."""
    pairs = (request.query_len, request.key_len)
    mask = np.ones(pairs, bool) if inputs.mask is None else inputs.mask
    mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return np.broadcast_to(mask, (*mask.shape[:2], *pairs))


@dataclass(frozen=True, eq=False)
class _Part:
    """Some queries of one head, in the wide type."""

    at: tuple[int, int, slice]
    query: NDArray[np.floating]
    key: NDArray[np.floating]
    value: NDArray[np.floating]
    visible: NDArray[np.bool_]
    bias: NDArray[np.floating] | None


def _parts(
    request: Request, inputs: Inputs, only: tuple[int, int] | None = None
) -> Iterator[_Part]:
    wide = _wide(request)
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
            yield _Part((b, h, rows), query, key, value, mask[b, h, rows], bias)


def _wide(request: Request) -> type[np.floating]:
    return np.longdouble if request.dtype == "float64" else np.float64
