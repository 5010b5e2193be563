"""The notebook's attention in NumPy: whole matrices, masked scores filled with −1e9.

The yardstick that the blocked kernels are compared with: memory grows with T times S.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.numpy_call import NUMPY_DTYPES, NumpyCall
from attnpanel.kernels.numpy_threads import blas_threads
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

NAME = "numpy-naive"
# The notebook's score of a masked pair. A row that holds nothing else is constant, so its softmax
# is uniform over all keys.
HIDDEN = -1e9


def naive_attention(call: NumpyCall) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Output (B, H, T, Dv) and weights (B, H, T, S) by the formula, one matrix after another.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017, eq. 1.
    """
    key = np.repeat(call.key, call.groups, axis=1)
    value = np.repeat(call.value, call.groups, axis=1)
    scores = call.query @ key.swapaxes(-1, -2) * call.scale
    if call.bias is not None:
        # A bias of −inf hides a pair as the mask does, and is filled alike.
        scores = np.where(np.isneginf(call.bias), HIDDEN, scores + call.bias)
    if call.mask is not None:
        scores = np.where(call.mask, scores, HIDDEN)
    shifted = (scores - scores.max(axis=-1, keepdims=True)) / call.temperature
    weights = np.exp(shifted)
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ value, weights


def unsupported(request: Request) -> list[str]:
    """Reasons why it can't run this request here; see :class:`Implementation`."""
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
)
