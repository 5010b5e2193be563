"""The attention of our own pages, `browser/attention.js`, run by Node.js."""

from __future__ import annotations

import shutil
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.node_process import node_process
from attnpanel.kernels.numpy_call import NUMPY_DTYPES, NumpyCall
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import Inputs, Request

NAME = "javascript-node"
TYPES = {"float64": "Float64Array", "float32": "Float32Array"}
# Cells of one head's weights: as float64 the 4 GB that a buffer of Node.js can hold.
MOST_CELLS = 2**29


class LoadedCall:
    """A call that Node.js holds, computed as often as asked and forgotten with this object."""

    def __init__(self, call: NumpyCall) -> None:
        self._call, self._node = call, node_process()
        given = (call.query, call.key, call.value, call.mask, call.bias)
        arrays = [array for array in given if array is not None]
        self._number = self._node.load(sizes_of(call), arrays)
        weakref.finalize(self, self._node.drop, self._number)

    def compute(self) -> RawResult:
        """Have it computed anew; raises what :meth:`NodeProcess.compute` does."""
        call = self._call
        working = call.query.dtype
        rows = call.query.shape[:3]
        output = np.empty((*rows, call.value.shape[3]), working)
        weights = np.empty((*rows, call.key.shape[2]), working)
        logsumexp = np.empty(rows, working)
        heads = [(output[at], weights[at], logsumexp[at]) for at in np.ndindex(rows[:2])]
        self._node.compute(self._number, heads)
        output, weights = (array.astype(call.stored, copy=False) for array in (output, weights))
        return RawResult(output, weights, logsumexp)


def sizes_of(call: NumpyCall) -> dict[str, Any]:
    """Sizes and options of a call, in the words of `node_process.mjs` and attention.js."""
    batch, heads, query_len, head_dim = call.query.shape
    return {
        "batch": batch,
        "heads": heads,
        "kvHeads": call.key.shape[1],
        "T": query_len,
        "S": call.key.shape[2],
        "D": head_dim,
        "Dv": call.value.shape[3],
        "type": TYPES[call.query.dtype.name],
        "maskShape": None if call.mask is None else call.mask.shape[:2],
        "hasBias": call.bias is not None,
        "scale": call.scale,
        "temperature": call.temperature,
        "emptyRows": "zero",
    }


def unsupported(request: Request) -> list[str]:
    """Reasons why it can't run this request here; see :class:`Implementation`."""
    reasons = unmet(NAME, request, devices=("cpu",), dtypes=NUMPY_DTYPES)
    if shutil.which("node") is None:
        reasons.append(f"{NAME} needs Node.js 20 or newer: there is no `node` on PATH")
    cells = request.query_len * request.key_len
    if cells > MOST_CELLS:
        reasons.append(
            f"{NAME} holds a head's weights in one array of at most {MOST_CELLS} cells; got {cells}"
        )
    return reasons


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:  # noqa: ARG001 - JavaScript has one
    """Hand Node.js the inputs; see :class:`Implementation`.

    It computes on one thread, whatever `threads` says.
    """
    return LoadedCall(NumpyCall.of(inputs, request)).compute


JAVASCRIPT_NODE = Implementation(
    name=NAME,
    framework="javascript",
    source="attnpanel/browser/attention.js, attend, run by Node.js: what reports and pages compute",
    devices=("cpu",),
    dtypes=NUMPY_DTYPES,
    returns=frozenset({"output", "weights", "logsumexp"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=False,
    limits=(
        "CPU, one thread; no bfloat16; float16 is computed in float32; sums are in float64. Mask: "
        "True may attend. Holds one head's (T, S) at a time; results come through a pipe, which is "
        "part of the time, and its memory and CPU time are those of another process."
    ),
    unsupported=unsupported,
    prepare=prepare,
)
