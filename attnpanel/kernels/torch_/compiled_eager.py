"""The eager formula under torch.compile.

Returns the output only: Inductor replaces the formula by a fused kernel, unless the weights are
returned too.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.eager import scaled_dot_product_attention
from attnpanel.kernels.torch_.inputs import (
    DEVICES,
    DTYPES,
    cannot_compile,
    compiled,
    repeat_heads,
    torch_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from attnpanel.kernels.request import Inputs, Request


def _formula(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    bias: torch.Tensor | None,
    scale: float | None,
    temperature: float,
) -> torch.Tensor:
    heads = query.shape[1]
    output, _ = scaled_dot_product_attention(
        query,
        repeat_heads(key, heads),
        repeat_heads(value, heads),
        mask,
        bias=bias,
        scale=scale,
        temperature=temperature,
    )
    return output


def _prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    tensors = torch_inputs(inputs, request)
    attention = compiled(_formula, request)

    def run() -> RawResult:
        output = attention(
            tensors.query,
            tensors.key,
            tensors.value,
            tensors.mask,
            tensors.bias,
            request.scale,
            request.temperature,
        )
        return RawResult(output)

    return run


COMPILED_EAGER = Implementation(
    name="torch-compiled-eager",
    framework="torch",
    source="torch.compile(torch-eager, fullgraph=True, dynamic=False)",
    devices=DEVICES,
    dtypes=DTYPES,
    returns=frozenset({"output"}),
    empty_rows="nan",
    causal_align=None,
    scores_dtype="storage",
    compiles=True,
    limits=(
        "Boolean mask, True where a query may attend. Compiled anew for every shape, by a C++ "
        "compiler on a CPU and Triton on a GPU."
    ),
    unsupported=functools.partial(cannot_compile, "torch-compiled-eager"),
    prepare=_prepare,
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset({"scores"}),  # its softmax makes 0 of a row of nan
    strided=True,
    gradients=by_autograd(_prepare, attempt=False),
)
