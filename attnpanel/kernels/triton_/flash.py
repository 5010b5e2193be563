"""Flash attention in Triton with its backward, compiled for CUDA, interpreted on a CPU.

Triton's interpreter computes a kernel's numbers in NumPy, a program after the other: they can be
certified, and its times say nothing.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from attnpanel.kernels.implementation import (
    Backward,
    GradientCall,
    Implementation,
    RawGradients,
    RawResult,
)
from attnpanel.kernels.native_causal import is_top_left_causal
from attnpanel.kernels.reasons import device_is_here
from attnpanel.kernels.torch_.inputs import cannot_run, torch_device, torch_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

NAME = "triton-flash"
DTYPES: tuple[DType, ...] = ("float32", "float16", "bfloat16")
INTERPRET: Final = "TRITON_INTERPRET"
MAX_WIDTH: Final = 256
# Scores of one call, of which a certificate makes dozens.
MAX_INTERPRETED: Final = 2**18
# A block of rows of one array; a backward kernel has six of them.
BLOCK_BYTES: Final = 2**14


def interprets() -> bool:
    """Whether kernels are interpreted in this process: where there is no CUDA device."""
    return not device_is_here("cuda")


@contextmanager
def interpreter_mode() -> Iterator[None]:
    """Have Triton interpret, or compile, the kernels that are imported in this block.

    It reads the choice from the environment when it decorates a kernel, and its own when they are
    imported, some of them at the first launch; the variable is as before afterwards.
    """
    before = os.environ.get(INTERPRET)
    os.environ[INTERPRET] = "1" if interprets() else "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[INTERPRET]
        else:
            os.environ[INTERPRET] = before


def unsupported(request: Request) -> list[str]:
    """Return the reasons why it can't run a request here; see :class:`Implementation`."""
    reasons = cannot_run(NAME, request, devices=("cpu", "cuda"), dtypes=DTYPES)
    if find_spec("triton") is None:
        reasons.append(f"{NAME} needs the package triton, which is not installed")
    if max(request.head_dim, request.value_dim) > MAX_WIDTH:
        reasons.append(
            f"{NAME} takes head_dim and value_dim up to {MAX_WIDTH}; "
            f"got {request.head_dim} and {request.value_dim}"
        )
    if request.device == "cpu":
        if request.dtype == "bfloat16":
            # Triton 3.9: `create_dot` of its interpreter.py.
            reasons.append("Triton's interpreter multiplies bfloat16 numbers as if integers")
        scores = request.batch * request.heads * request.query_len * request.key_len
        if scores > MAX_INTERPRETED:
            reasons.append(
                f"Triton's interpreter is too slow for more than {MAX_INTERPRETED} scores; "
                f"got {scores}"
            )
        if not reasons and not interprets():
            reasons.append("Triton's kernels are interpreted only where there is no CUDA device")
    return reasons


def _kernels() -> Any:
    with interpreter_mode():
        return importlib.import_module("attnpanel.kernels.triton_.kernels")


def _padded(width: int) -> int:
    """Return the width of a block's rows: a power of two of at least 16, as products need."""
    return max(16, 1 << (width - 1).bit_length())


class _Call:
    """The inputs of a call as tensors, and the launches of its kernels."""

    def __init__(self, inputs: Inputs, request: Request) -> None:
        self._request = request
        self._causal = is_top_left_causal(inputs, request)
        tensors = torch_inputs(inputs, request)
        self._tensors = replace(
            tensors,
            query=tensors.query.contiguous(),
            key=tensors.key.contiguous(),
            value=tensors.value.contiguous(),
            mask=None if self._causal else tensors.mask,
            bias=None if tensors.bias is None else tensors.bias.contiguous(),
        )
        self._width, self._value_width = _padded(request.head_dim), _padded(request.value_dim)
        row_bytes = max(self._width, self._value_width) * tensors.query.element_size()
        self._block = max(16, min(64, BLOCK_BYTES // row_bytes))

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the output, and the log-sum-exp in float32."""
        import torch

        kernels = _kernels()
        request, query = self._request, self._tensors.query
        shape = (request.batch, request.heads, request.query_len)
        output = query.new_empty((*shape, request.value_dim))
        logsumexp = query.new_empty(shape, dtype=torch.float32)
        grid = (self._blocks(request.query_len), request.batch * request.heads)
        self._launch(kernels.forward_kernel, grid, (output, logsumexp))
        return output, logsumexp

    def backward(
        self, output: torch.Tensor, logsumexp: torch.Tensor, output_gradient: torch.Tensor
    ) -> RawGradients:
        """Return the gradients of the inputs."""
        import torch

        request, tensors, kernels = self._request, self._tensors, _kernels()
        delta = (output_gradient.float() * output.float()).sum(dim=-1)
        read = (output_gradient, logsumexp, delta)
        query, key, value = map(torch.empty_like, (tensors.query, tensors.key, tensors.value))
        rows, keys = self._blocks(request.query_len), self._blocks(request.key_len)
        grid = (rows, request.batch * request.heads)
        self._launch(kernels.query_gradient_kernel, grid, (*read, query))
        grid = (keys, request.batch * request.kv_heads)
        self._launch(kernels.key_value_gradient_kernel, grid, (*read, key, value))
        if tensors.bias is None:
            return RawGradients(query, key, value)
        bias = torch.empty_like(tensors.bias[0])
        heads = (rows, keys, request.heads)
        self._launch(kernels.bias_gradient_kernel, heads, (*read, bias), request.batch)
        return RawGradients(query, key, value, bias)

    def _blocks(self, length: int) -> int:
        return -(-length // self._block)

    def _launch(
        self, kernel: Any, grid: tuple[int, ...], arrays: tuple[torch.Tensor, ...], *sizes: int
    ) -> None:
        request, tensors = self._request, self._tensors
        # Without a mask or a bias there is no access to it.
        mask, bias = tensors.query, tensors.query
        strides: tuple[int, ...] = (0, 0, 0, 0)
        if tensors.mask is not None:
            full = (request.batch, request.heads, request.query_len, request.key_len)
            mask, strides = tensors.mask.byte(), tensors.mask.expand(full).stride()
        if tensors.bias is not None:
            bias = tensors.bias
        with interpreter_mode():
            kernel[grid](
                tensors.query,
                tensors.key,
                tensors.value,
                mask,
                bias,
                *arrays,
                request.score_scale / request.temperature,
                1 / request.temperature,
                request.heads,
                request.heads // request.kv_heads,
                request.query_len,
                request.key_len,
                *strides,
                *sizes,
                D=request.head_dim,
                DV=request.value_dim,
                BLOCK_D=self._width,
                BLOCK_DV=self._value_width,
                BLOCK=self._block,
                CAUSAL=self._causal,
                MASKED=tensors.mask is not None,
                BIASED=tensors.bias is not None,
            )


def prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - the interpreter's are NumPy's, a device has none
) -> Callable[[], RawResult]:
    """Copy the inputs; see :class:`Implementation`."""
    call = _Call(inputs, request)

    def run() -> RawResult:
        output, logsumexp = call.forward()
        return RawResult(output, logsumexp=logsumexp)

    return run


def prepare_gradients(
    inputs: Inputs,
    request: Request,
    output_gradient: NDArray[np.floating],
    *,
    threads: int = 1,  # noqa: ARG001 - as in `prepare`
) -> GradientCall:
    """Copy the inputs; see :class:`Backward`."""
    import torch

    call = _Call(inputs, request)
    dtype = getattr(torch, request.dtype)
    given = torch.tensor(output_gradient, dtype=dtype, device=torch_device(request)).contiguous()

    def forward() -> tuple[RawResult, Callable[[], RawGradients]]:
        output, logsumexp = call.forward()
        raw = RawResult(output, logsumexp=logsumexp)
        return raw, lambda: call.backward(output, logsumexp, given)

    return GradientCall(forward)


TRITON_FLASH = Implementation(
    name=NAME,
    framework="triton",
    source="Dao, “FlashAttention-2”, 2023, algorithms 1 and 2, as Triton kernels of our own",
    devices=("cpu", "cuda"),
    dtypes=DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align="top_left",
    scores_dtype="float32",
    compiles=True,
    limits=(
        "On a CPU Triton's interpreter computes it: certified, never timed, no bfloat16, up to "
        "262,144 scores. Compiled for CUDA: never run by us. Mask: True may attend, of any shape "
        "that broadcasts; its own causal option where that begins at the top left. head_dim and "
        "value_dim up to 256; no float64. Gradients need no atomic sums: they are deterministic."
    ),
    unsupported=unsupported,
    prepare=prepare,
    hidden_leaks=frozenset(),
    strided=True,
    interpreted_on=("cpu",),
    gradients=Backward(
        source="its own kernels for dQ, for dK and dV, and for d bias",
        unsupported=lambda _request: [],
        prepare=prepare_gradients,
        deterministic_on=("cpu", "cuda"),
    ),
)
