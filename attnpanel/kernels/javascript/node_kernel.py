"""The pages' own attention, `js/core/attention.js`, in plain JavaScript and run by Node.js."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.javascript.node_process import find_node, node_process
from attnpanel.kernels.numpy_.call import NUMPY_DTYPES, NumpyCall
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "javascript-node"
KERNELS = ("javascript",)
ARRAY_TYPES = {"float64": "Float64Array", "float32": "Float32Array"}
# Cells of one head's weights: in float64 4 GB, the largest buffer of Node.js.
MAX_CELLS = 2**29


class LoadedCall:
    """A call whose inputs Node.js holds until this object is collected.

    The first of `kernels` that starts there computes it; `js/core/kernels.js` lists their names.
    """

    def __init__(self, call: NumpyCall, kernels: Sequence[str]) -> None:
        self._call, self._node = call, node_process()
        optional = (call.query, call.key, call.value, call.mask, call.bias)
        arrays = [array for array in optional if array is not None]
        sizes = {**sizes_of(call), "kernels": list(kernels)}
        self._number = self._node.load(sizes, arrays)
        weakref.finalize(self, self._node.drop, self._number)

    def compute(self) -> RawResult:
        """Compute the call; raises as :meth:`NodeProcess.compute` does."""
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
    """Return sizes and options of a call by the names of `node_process.mjs` and attention.js."""
    batch, heads, query_len, head_dim = call.query.shape
    return {
        "batch": batch,
        "heads": heads,
        "kvHeads": call.key.shape[1],
        "T": query_len,
        "S": call.key.shape[2],
        "D": head_dim,
        "Dv": call.value.shape[3],
        "type": ARRAY_TYPES[call.query.dtype.name],
        "maskShape": None if call.mask is None else call.mask.shape[:2],
        "hasBias": call.bias is not None,
        "scale": call.scale,
        "temperature": call.temperature,
        "emptyRows": "zero",
    }


def unmet_in_node(name: str, request: Request, dtypes: tuple[DType, ...]) -> list[str]:
    """Return the reasons why Node.js can't run a request here."""
    reasons = unmet(name, request, devices=("cpu",), dtypes=dtypes)
    if find_node() is None:
        reasons.append(f"{name} needs Node.js 20 or newer: there is no `node` on PATH")
    cells = request.query_len * request.key_len
    if cells > MAX_CELLS:
        reasons.append(
            f"{name} holds a head's weights in one array of at most {MAX_CELLS} cells; got {cells}"
        )
    return reasons


def node_implementation(
    name: str, *, kernels: Sequence[str], dtypes: tuple[DType, ...], source: str, precision: str
) -> Implementation:
    """Return the implementation that computes by kernels of `js/core/kernels.js` in Node.js.

    Parameters
    ----------
    name : str
    kernels : sequence of str
        The first that starts computes.
    dtypes : tuple of str
    source : str
        The file that computes, and where pages use it.
    precision : str
        Sentences on dtypes and sums.
    """

    def unsupported(request: Request) -> list[str]:
        return unmet_in_node(name, request, dtypes)

    def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:  # noqa: ARG001 - JavaScript has one
        return LoadedCall(NumpyCall.of(inputs, request), kernels).compute

    return Implementation(
        name=name,
        framework="javascript",
        source=source,
        devices=("cpu",),
        dtypes=dtypes,
        returns=frozenset({"output", "weights", "logsumexp"}),
        empty_rows="zero",
        causal_align=None,
        scores_dtype="float32",
        compiles=False,
        limits=(
            f"CPU, one thread. {precision} Mask: True may attend. Holds one head's (T, S) at a "
            "time; results come through a pipe, which is part of the time, and its memory and CPU "
            "time are those of another process."
        ),
        unsupported=unsupported,
        prepare=prepare,
        weights_dtype="float32",
        hidden_leaks=LEAKS_VALUES,
        swallows=frozenset(),
        strided=True,
    )


JAVASCRIPT_NODE = node_implementation(
    NAME,
    kernels=KERNELS,
    dtypes=NUMPY_DTYPES,
    source="js/core/plain_kernel.js, run by Node.js: what pages compute without WebAssembly",
    precision="No bfloat16; float16 is computed in float32; sums are in float64.",
)
