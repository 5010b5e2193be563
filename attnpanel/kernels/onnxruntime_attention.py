"""ONNX's own Attention operator (opset 23), run by onnxruntime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.own_causal import is_top_left_causal
from attnpanel.kernels.reasons import unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "onnxruntime-attention"
DTYPES: tuple[DType, ...] = ("float32", "float16")
# The first opset with the operator, and the file format that came with it.
OPSET, IR_VERSION = 23, 11


def attention_model(dtype: str, mask_dtype: str | None, *, scale: float, is_causal: bool) -> bytes:
    """A model of one Attention node: inputs query, key, value and, if it has a dtype, mask.

    Sizes are left open. `mask_dtype` is ``"bool"`` (True may attend) or the dtype of numbers that
    are added to the scores.

    References
    ----------
    ONNX operator schemas, ``Attention``, since version 23.
    """
    from onnx import helper

    def info(name: str, kind: str) -> Any:
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), None
        )

    given = {"query": dtype, "key": dtype, "value": dtype}
    if mask_dtype is not None:
        given["mask"] = mask_dtype
    node = helper.make_node(
        "Attention", list(given), ["output"], scale=scale, is_causal=int(is_causal)
    )
    graph = helper.make_graph(
        [node],
        "attention",
        [info(name, kind) for name, kind in given.items()],
        [info("output", dtype)],
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    serialized: bytes = model.SerializeToString()
    return serialized


def mask_or_bias(inputs: Inputs, request: Request, *, causal: bool) -> NDArray[Any] | None:
    """The operator's one input for both: a boolean mask, or numbers with -inf where hidden.

    They are added after the scale, so the temperature divides them here.
    """
    mask = None if causal else inputs.mask
    if inputs.bias is None:
        return mask
    # Divided in float64, so that a small temperature is rounded once.
    bias = (inputs.bias / np.float64(request.temperature)).astype(inputs.query.dtype)
    return bias if mask is None else np.where(mask, bias, inputs.query.dtype.type(-np.inf))


def unsupported(request: Request) -> list[str]:
    """Reasons why it can't run this request here; see :class:`Implementation`."""
    packages = ("onnx", "onnxruntime")
    reasons = unmet(NAME, request, devices=("cpu",), dtypes=DTYPES, packages=packages)
    if request.dtype == "float64":
        reasons.append(f"{NAME}: the operator's scale is a float32, so float64 would lose digits")
    if request.score_scale <= 0:
        reasons.append(f"{NAME} takes a scale above 0; got {request.score_scale:g}")
    return reasons


def prepare(inputs: Inputs, request: Request, *, threads: int = 1) -> Callable[[], RawResult]:
    """Build and load the model; see :class:`Implementation`. `threads` are the session's own."""
    import onnxruntime

    causal = is_top_left_causal(inputs, request)
    mask = mask_or_bias(inputs, request, causal=causal)
    feeds = {"query": inputs.query, "key": inputs.key, "value": inputs.value}
    if mask is not None:
        feeds["mask"] = np.ascontiguousarray(mask)
    model = attention_model(
        request.dtype,
        None if mask is None else mask.dtype.name,
        scale=request.score_scale / request.temperature,
        is_causal=causal,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

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
)
