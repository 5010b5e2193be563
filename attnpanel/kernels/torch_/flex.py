"""PyTorch's FlexAttention, eager and compiled.

A mask that the request names becomes a mask_mod, as users write it; any other mask is looked up
element by element.
"""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.native_causal import matches_request_mask
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import (
    DEVICES,
    DTYPES,
    cannot_compile,
    cannot_run,
    compiled,
    mask_rule,
    torch_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from attnpanel.kernels.request import DType, Inputs, Request
    from attnpanel.kernels.torch_.inputs import PositionRule, TorchInputs


COMPILED_DEVICES = ("cpu", "cuda", "xpu")
COMPILED_DTYPES: tuple[DType, ...] = ("float32", "float16", "bfloat16")


def _lookup_rule(mask: torch.Tensor) -> PositionRule:
    batches, heads, queries, keys = mask.shape

    def rule(b: Any, h: Any, i: Any, j: Any) -> torch.Tensor:
        return mask[
            b if batches > 1 else 0,
            h if heads > 1 else 0,
            i if queries > 1 else 0,
            j if keys > 1 else 0,
        ]

    return rule


def _score_rule(tensors: TorchInputs, request: Request) -> PositionRule | None:
    import torch

    if tensors.bias is None:
        return None
    # The temperature is part of the kernel's scale. The bias is widened first: the rule is traced
    # with scores of the query's dtype, so it would be divided in 16 bits.
    dtype = torch.promote_types(tensors.bias.dtype, torch.float32)
    bias = tensors.bias[0].to(dtype) / request.temperature
    return lambda score, _b, h, i, j: score + bias[h, i, j]


def _arguments(inputs: Inputs, request: Request) -> dict[str, Any]:
    from torch.nn.attention.flex_attention import create_block_mask

    tensors = torch_inputs(inputs, request)
    block_mask = None
    if tensors.mask is not None:
        device = tensors.query.device
        own = matches_request_mask(inputs, request)
        block_mask = create_block_mask(
            mask_rule(request, device) if own else _lookup_rule(tensors.mask),
            B=request.batch if tensors.mask.shape[0] > 1 else None,
            H=request.heads if tensors.mask.shape[1] > 1 else None,
            Q_LEN=request.query_len,
            KV_LEN=request.key_len,
            device=device,
        )
    return {
        "query": tensors.query,
        "key": tensors.key,
        "value": tensors.value,
        "score_mod": _score_rule(tensors, request),
        "block_mask": block_mask,
        "scale": request.score_scale / request.temperature,
        "enable_gqa": request.heads != request.kv_heads,
    }


def _prepare_eager(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    arguments = _arguments(inputs, request)

    def run() -> RawResult:
        with warnings.catch_warnings():
            # The advice to compile, which torch-flex-compiled follows.
            warnings.filterwarnings("ignore", "flex_attention called without torch.compile")
            output, auxiliary = flex_attention(**arguments, return_aux=AuxRequest(lse=True))
        return RawResult(output, logsumexp=auxiliary.lse)

    return run


def _prepare_compiled(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    from torch.nn.attention.flex_attention import flex_attention

    arguments = _arguments(inputs, request)
    attention = compiled(flex_attention, request)
    return lambda: RawResult(attention(**arguments))


def _unsupported_compiled(request: Request) -> list[str]:
    reasons = cannot_compile(
        "torch-flex-compiled", request, devices=COMPILED_DEVICES, dtypes=COMPILED_DTYPES
    )
    smallest = min(request.head_dim, request.value_dim)
    if request.device != "cpu" and smallest < 16:
        reasons.append(f"on a GPU its head_dim and value_dim are at least 16; got {smallest}")
    if not reasons and request.device == "cpu" and not _has_avx():
        reasons.append("compiled FlexAttention on a CPU needs AVX2 or AVX-512")
    return reasons


def _no_backward(request: Request) -> list[str]:
    if request.device == "cpu":
        return ["compiled FlexAttention has no backward on a CPU"]
    return []


def _has_avx() -> bool:
    import torch

    return torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}


FLEX = Implementation(
    name="torch-flex",
    framework="torch",
    source="torch.nn.attention.flex_attention.flex_attention, not compiled",
    devices=DEVICES,
    dtypes=DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=True,
    limits=(
        "The mask is a rule about positions, True where a query may attend. Not compiled, it is "
        "traced anew for each shape and holds all T × S weights."
    ),
    unsupported=functools.partial(cannot_run, "torch-flex", since=(2, 9)),
    prepare=_prepare_eager,
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
    gradients=by_autograd(_prepare_eager),
)
FLEX_COMPILED = Implementation(
    name="torch-flex-compiled",
    framework="torch",
    source="torch.compile(torch.nn.attention.flex_attention.flex_attention)",
    devices=COMPILED_DEVICES,
    dtypes=COMPILED_DTYPES,
    returns=frozenset({"output"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=True,
    limits=(
        "The mask is a rule about positions, True where a query may attend; whole blocks that it "
        "masks are skipped. No float64. On a CPU it gives no logsumexp."
    ),
    unsupported=_unsupported_compiled,
    prepare=_prepare_compiled,
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset({"scores"}),  # a row of nan becomes 0
    strided=True,
    gradients=by_autograd(_prepare_compiled, attempt=False, unsupported=_no_backward),
)
