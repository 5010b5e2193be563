"""The notebook's attention in NumPy: whole matrices, masked scores filled with −1e9.

The baseline for the blocked kernels: memory grows with T times S.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.attention.blas import blas_threads
from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.numpy_.call import NUMPY_DTYPES, UNCONVERTED, NumpyCall
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

NAME = "numpy-naive"
# The notebook's score of a masked pair. A row with no visible key is constant, so its softmax is
# uniform over all keys.
MASKED_SCORE = -1e9


def naive_attention(call: NumpyCall) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compute output (B, H, T, Dv) and weights (B, H, T, S) by the formula.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017, eq. 1.
    """
    key = np.repeat(call.key, call.groups, axis=1)
    value = np.repeat(call.value, call.groups, axis=1)
    scores = call.query @ key.swapaxes(-1, -2) * call.scale
    if call.bias is not None:
        # A bias of −inf masks a pair, and is filled like one.
        scores = np.where(np.isneginf(call.bias), MASKED_SCORE, scores + call.bias)
    if call.mask is not None:
        scores = np.where(call.mask, scores, MASKED_SCORE)
    shifted = (scores - scores.max(axis=-1, keepdims=True)) / call.temperature
    weights = np.exp(shifted)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ value, weights


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
            output, weights = naive_attention(call)
        return RawResult(
            output.astype(call.stored, copy=False), weights.astype(call.stored, copy=False)
        )

    return run


NAIVE = Implementation(
    name=NAME,
    framework="numpy",
    source="Vaswani et al., “Attention Is All You Need”, 2017, eq. 1, as the notebook writes it",
    devices=("cpu",),
    dtypes=NUMPY_DTYPES,
    returns=frozenset({"output", "weights"}),
    empty_rows="uniform",
    causal_align=None,
    scores_dtype="float32",
    compiles=False,
    limits=(
        "CPU only; no bfloat16, which NumPy lacks; float16 is computed in float32. Mask: True may "
        "attend, masked scores become −1e9. Holds the whole (B, H, T, S) several times over."
    ),
    unsupported=unsupported,
    prepare=prepare,
    weights_dtype="float32",
    reads_in_place=UNCONVERTED,
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
)
