"""Attention whose scores are products of 8-bit integers: graded, since it is not exact.

An example of a quantised kernel, in NumPy: small integers are stored in floating point, whose
products are exact, because NumPy multiplies matrices of integers without BLAS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.attention.blas import blas_threads
from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.numpy_.call import NUMPY_DTYPES, NumpyCall
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

NAME = "numpy-int8-scores"
LARGEST = 127  # of symmetric 8-bit integers


def quantised(rows: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return integers from -127 to 127, in floating point, and the step of each row, (…, 1)."""
    step = np.abs(rows).max(axis=-1, keepdims=True) / LARGEST
    step = np.where(step == 0, 1, step)
    return np.rint(rows / step), step


def int8_attention(call: NumpyCall) -> NDArray[np.floating]:
    """Compute the output (B, H, T, Dv) from quantised queries and keys.

    References
    ----------
    Zhang et al., "SageAttention: Accurate 8-Bit Attention for Plug-and-play Inference
    Acceleration", 2024, per-token quantisation, without its smoothing of keys.
    """
    query, query_step = quantised(call.query)
    key, key_step = (
        np.repeat(part, call.groups, axis=1).swapaxes(-1, -2) for part in quantised(call.key)
    )
    scores = query @ key * query_step * key_step * call.scale
    if call.bias is not None:
        scores += call.bias
    if call.mask is not None:
        scores = np.where(call.mask, scores, -np.inf)
    peak = scores.max(axis=-1, keepdims=True)
    # -inf - -inf is nan: a row that sees no key is shifted by 0, so that each exp is 0.
    weights = np.exp((scores - np.where(np.isneginf(peak), 0, peak)) / call.temperature)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    output: NDArray[np.floating] = weights @ np.repeat(call.value, call.groups, axis=1)
    return output


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    packages = ("threadpoolctl",)
    return unmet(NAME, request, devices=("cpu",), dtypes=NUMPY_DTYPES, packages=packages)


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Convert the inputs; see :class:`Implementation`. `threads` are those of BLAS."""
    call = NumpyCall.of(inputs, request)
    limited = blas_threads(threads)

    def run() -> RawResult:
        with limited():
            return RawResult(int8_attention(call).astype(call.stored, copy=False))

    return run


INT8_SCORES = Implementation(
    name=NAME,
    framework="numpy",
    source="Zhang et al., “SageAttention”, 2024: 8-bit queries and keys, without smoothing",
    devices=("cpu",),
    dtypes=NUMPY_DTYPES,
    returns=frozenset({"output"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=False,
    limits=(
        "Graded, never certified: queries and keys are rounded to 8 bits. CPU only; no bfloat16, "
        "which NumPy lacks. Mask: True may attend, masked scores become −inf. Holds the whole "
        "(B, H, T, S)."
    ),
    unsupported=unsupported,
    prepare=prepare,
    weights_dtype="float32",
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
    graded="queries and keys are rounded to 8 bits a token",
)
