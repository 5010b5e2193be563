"""ONNX's own Attention operator (opset 23), run by onnxruntime on the CPU."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.kernels.implementation import LEAKS_ALL, Implementation, RawResult
from attnpanel.kernels.native_causal import is_top_left_causal
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "onnxruntime-attention"
DTYPES: tuple[DType, ...] = ("float32", "float16")
# The first opset with the operator, and the file format of that release.
OPSET, IR_VERSION = 23, 11


def attention_model(dtype: str, mask_dtype: str | None, *, scale: float, is_causal: bool) -> bytes:
    """Build a model of one Attention node, serialized, with dynamic sizes.

    Its inputs are query, key, value and, unless `mask_dtype` is None, mask: ``"bool"`` for True may
    attend, or the dtype of numbers added to the scores.

    References
    ----------
    ONNX operator schemas, ``Attention``, since version 23.
    """
    from onnx import helper

    def info(name: str, kind: str) -> Any:
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None
        )

    inputs = {"query": dtype, "key": dtype, "value": dtype}
    if mask_dtype is not None:
        inputs["mask"] = mask_dtype
    node = helper.make_node(
        "Attention", list(inputs), ["output"], scale=scale, is_causal=int(is_causal)
    )
    graph = helper.make_graph(
        [node],
        "attention",
        [info(name, kind) for name, kind in inputs.items()],
        [info("output", dtype)],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    serialized: bytes = model.SerializeToString()
    return serialized


@functools.lru_cache(maxsize=32)
def session_of(
    dtype: str, mask_dtype: str | None, *, scale: float, is_causal: bool, threads: int
) -> Any:
    """Load :func:`attention_model`, once for all calls: a session's first call fills its arena."""
    import onnxruntime

    model = attention_model(dtype, mask_dtype, scale=scale, is_causal=is_causal)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def mask_or_bias(inputs: Inputs, request: Request, *, causal: bool) -> NDArray[Any] | None:
    """Return the operator's mask input: boolean, or a bias with -inf where a key is hidden.

    The operator adds the bias after the scale, so it is divided by the temperature here.
    """
    mask = None if causal else inputs.mask
    if inputs.bias is None:
        return mask
    # Divided in float64, so that the quotient is rounded once.
    bias = (inputs.bias / np.float64(request.temperature)).astype(inputs.query.dtype)
    return bias if mask is None else np.where(mask, bias, inputs.query.dtype.type(-np.inf))


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    packages = ("onnx", "onnxruntime")
    reasons = unmet(NAME, request, devices=("cpu",), dtypes=DTYPES, packages=packages)
    if request.dtype == "float64":
        reasons.append(f"{NAME}: the operator's scale is a float32, so float64 would lose digits")
    if request.score_scale <= 0:
        reasons.append(f"{NAME} takes a scale above 0; got {request.score_scale:g}")
    return reasons


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Load the model once for all calls; see :class:`Implementation`."""
    causal = is_top_left_causal(inputs, request)
    mask = mask_or_bias(inputs, request, causal=causal)
    feeds = {"query": inputs.query, "key": inputs.key, "value": inputs.value}
    if mask is not None:
        feeds["mask"] = np.ascontiguousarray(mask)
    session = session_of(
        request.dtype,
        None if mask is None else mask.dtype.name,
        scale=request.score_scale / request.temperature,
        is_causal=causal,
        threads=threads,
    )

    def run() -> RawResult:
        (output,) = session.run(None, feeds)
        return RawResult(output)

    return run


ONNX_ATTENTION = Implementation(
    name=NAME,
    framework="onnxruntime",
    source="ONNX operator Attention, since opset 23; onnxruntime's CPUExecutionProvider",
    devices=("cpu",),
    dtypes=DTYPES,
    returns=frozenset({"output"}),
    empty_rows="zero",
    causal_align="top_left",
    scores_dtype="storage",
    compiles=False,
    limits=(
        "CPU only; no bfloat16, and float64 only with a float32 scale, so not here; a scale above "
        "0; float16 keeps its scores in float16. Mask: True may attend; with a bias, both become "
        "one matrix with −inf; its own causal mask where that begins at the top left. Its memory "
        "is its own arena's, which keeps what the first call took: of later calls nothing is seen."
    ),
    unsupported=unsupported,
    prepare=prepare,
    hidden_leaks=LEAKS_ALL,
    swallows=frozenset(),
    strided=True,
)
