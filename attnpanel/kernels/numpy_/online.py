"""Attention in NumPy with an online softmax over tiles, like flash kernels.

Maximum, normaliser and output of each row are updated tile by tile, so that memory beyond inputs
and results does not grow with the sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.attention.blas import blas_threads
from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.numpy_.call import NUMPY_DTYPES, UNCONVERTED, Head, NumpyCall
from attnpanel.kernels.numpy_.threads import share_out
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

NAME = "numpy-online"
# Measured at T = 1024, D = 64: a tile of scores fits a core's cache.
QUERY_TILE, KEY_TILE = 256, 512


def online_softmax_attention(
    head: Head,
    queries: slice,
    *,
    scale: float,
    temperature: float,
    buffer: NDArray[np.floating],
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compute output (rows, Dv) and logsumexp (rows,) for some queries of one head.

    A query that may see no key gets zeros and -inf. `buffer` is reused for the scores of each tile
    and has at least rows times KEY_TILE elements.

    References
    ----------
    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, algorithm 3; Dao
    et al., "FlashAttention", 2022, algorithm 1.
    """
    query = head.query[queries] * scale
    peak = np.full((len(query), 1), -np.inf, query.dtype)
    total = np.zeros_like(peak)
    output = np.zeros((len(query), head.value.shape[1]), query.dtype)
    ones = np.ones(KEY_TILE, query.dtype)
    for start in range(0, len(head.key), KEY_TILE):
        keys, visible = _visible_keys(head.mask, queries, slice(start, start + KEY_TILE))
        key = head.key[keys]
        if len(key) == 0:
            continue
        scores = buffer[: len(query) * len(key)].reshape(len(query), len(key))
        np.matmul(query, key.T, out=scores)
        if head.bias is not None:
            scores += head.bias[queries, keys]
        if visible is not None:
            np.copyto(scores, -np.inf, where=~visible)
        new_peak = np.maximum(peak, scores.max(axis=1, keepdims=True))
        # -inf - -inf is nan: a row without a visible key so far is shifted by 0.
        shift = np.where(np.isneginf(new_peak), 0, new_peak)
        rescale = np.exp((peak - shift) / temperature)
        scores -= shift
        if temperature != 1:
            scores /= temperature
        np.exp(scores, out=scores)
        # A product with ones is three times as fast as a sum over rows.
        total = total * rescale + (scores @ ones[: len(key)])[:, None]
        output *= rescale
        output += scores @ head.value[keys]
        peak = new_peak
    output /= np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        logsumexp = np.log(total) + peak / temperature
    return output, logsumexp[:, 0]


def _visible_keys(
    mask: NDArray[np.bool_] | None, queries: slice, keys: slice
) -> tuple[slice, NDArray[np.bool_] | None]:
    """Trim a tile to its visible keys; return its mask too if a pair in it is hidden."""
    if mask is None:
        return keys, None
    (visible,) = np.nonzero(mask[queries, keys].any(axis=0))
    if visible.size == 0:
        return slice(0, 0), None
    keys = slice(keys.start + int(visible[0]), keys.start + int(visible[-1]) + 1)
    part = mask[queries, keys]
    return keys, None if part.all() else part


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    packages = ("threadpoolctl",)
    return unmet(NAME, request, devices=("cpu",), dtypes=NUMPY_DTYPES, packages=packages)


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Convert the inputs; see :class:`Implementation`.

    `threads` compute tiles of queries in parallel, each with BLAS on one thread.
    """
    call = NumpyCall.of(inputs, request)
    starts = range(0, call.query.shape[2], QUERY_TILE)
    pieces = [(head, slice(start, start + QUERY_TILE)) for head in call.heads() for start in starts]
    # Without a bias, divide the query by the temperature instead of the many scores.
    scale, temperature = call.scale, call.temperature
    if call.bias is None:
        scale, temperature = scale / temperature, 1.0
    limited = blas_threads(1)

    def run() -> RawResult:
        output, logsumexp = call.new_results()

        def make_worker() -> Callable[[tuple[Head, slice]], None]:
            buffer = np.empty(QUERY_TILE * KEY_TILE, call.query.dtype)

            def compute(piece: tuple[Head, slice]) -> None:
                head, queries = piece
                output[head.index][queries], logsumexp[head.index][queries] = (
                    online_softmax_attention(
                        head, queries, scale=scale, temperature=temperature, buffer=buffer
                    )
                )

            return compute

        with limited():
            share_out(pieces, threads, make_worker)
        return RawResult(output.astype(call.stored, copy=False), logsumexp=logsumexp)

    return run


ONLINE = Implementation(
    name=NAME,
    framework="numpy",
    source=(
        "Milakov and Gimelshein, “Online normalizer calculation for softmax”, 2018, algorithm 3; "
        "Dao et al., “FlashAttention”, 2022, algorithm 1"
    ),
    devices=("cpu",),
    dtypes=NUMPY_DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=False,
    limits=(
        "CPU only; no bfloat16, which NumPy lacks; float16 is computed in float32. Mask: True may "
        "attend; of tiles of 256 queries by 512 keys, what nobody sees is left out."
    ),
    unsupported=unsupported,
    prepare=prepare,
    weights_dtype="float32",
    reads_in_place=UNCONVERTED,
    hidden_leaks=frozenset(),
    swallows=frozenset(),
    strided=True,
)
