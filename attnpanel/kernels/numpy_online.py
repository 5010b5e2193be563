"""Attention in NumPy with the online softmax: tiles of queries by keys, as flash kernels do it.

No row of scores is ever whole. Maximum, normaliser and output of a row are kept up to date from
tile to tile, so the memory above inputs and results does not grow with the sequence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.numpy_call import NUMPY_DTYPES, Head, NumpyCall
from attnpanel.kernels.numpy_threads import blas_threads, share_out
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

NAME = "numpy-online"
QUERY_TILE, KEY_TILE = 128, 512


def online_softmax_attention(
    head: Head, queries: slice, scale: float, temperature: float
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Output (rows, Dv) and logsumexp (rows,) of some queries of one head.

    Zeros and -inf for a query that may see no key.

    References
    ----------
    Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018, algorithm 3; Dao
    et al., "FlashAttention", 2022, algorithm 1.
    """
    query = head.query[queries] * scale
    peak = np.full((len(query), 1), -np.inf, query.dtype)
    total = np.zeros_like(peak)
    output = np.zeros((len(query), head.value.shape[1]), query.dtype)
    for start in range(0, len(head.key), KEY_TILE):
        keys = slice(start, start + KEY_TILE)
        seen = None if head.mask is None else head.mask[queries, keys]
        if seen is not None and not seen.any():
            continue
        scores = query @ head.key[keys].T
        if head.bias is not None:
            scores += head.bias[queries, keys]
        if seen is not None and not seen.all():
            np.copyto(scores, -np.inf, where=~seen)
        new_peak = np.maximum(peak, scores.max(axis=1, keepdims=True))
        # -inf - -inf is nan: while a row has seen no key, it is shifted by 0 and stays at 0.
        shift = np.where(np.isneginf(new_peak), 0, new_peak)
        kept = np.exp((peak - shift) / temperature)
        scores -= shift
        scores /= temperature
        np.exp(scores, out=scores)
        total = total * kept + scores.sum(axis=1, keepdims=True)
        output = output * kept + scores @ head.value[keys]
        peak = new_peak
    output /= np.where(total == 0, 1, total)
    with np.errstate(divide="ignore"):
        logsumexp = np.log(total) + peak / temperature
    return output, logsumexp[:, 0]


def unsupported(request: Request) -> list[str]:
    """Reasons why it can't run this request here; see :class:`Implementation`."""
    packages = ("threadpoolctl",)
    return unmet(NAME, request, devices=("cpu",), dtypes=NUMPY_DTYPES, packages=packages)


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Convert the inputs; see :class:`Implementation`.

    `threads` take tiles of queries, with BLAS at one thread.
    """
    call = NumpyCall.of(inputs, request)
    starts = range(0, call.query.shape[2], QUERY_TILE)
    pieces = [(head, slice(start, start + QUERY_TILE)) for head in call.heads() for start in starts]
    limited = blas_threads(1)

    def run() -> RawResult:
        output, logsumexp = call.new_results()

        def one(piece: tuple[Head, slice]) -> None:
            head, queries = piece
            results = online_softmax_attention(head, queries, call.scale, call.temperature)
            output[head.index][queries], logsumexp[head.index][queries] = results

        with limited():
            share_out(pieces, threads, lambda: one)
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
        "attend; tiles of 128 queries by 512 keys that nobody sees are left out."
    ),
    unsupported=unsupported,
    prepare=prepare,
)
