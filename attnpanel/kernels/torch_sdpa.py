"""PyTorch's scaled_dot_product_attention: as torch chooses, and each of its backends by name.

Whether a backend takes a call is asked of torch itself, by trying a small call of the same kind;
its refusal, in its own words, is the reason that a table shows.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.own_causal import mask_is_the_requests, starts_top_left
from attnpanel.kernels.request import Inputs
from attnpanel.kernels.torch_inputs import (
    DEVICES,
    DTYPES,
    SIXTEEN_BITS,
    additive_mask,
    cannot_run,
    torch_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from attnpanel.kernels.request import Request
    from attnpanel.kernels.torch_inputs import TorchInputs

Backend = Literal["MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"]
# What CUDA's kernels compute in, by torch's documentation: said even where no device can be asked.
CUDA_DTYPES: dict[Backend | None, tuple[str, ...]] = {
    "FLASH_ATTENTION": ("float16", "bfloat16"),
    "EFFICIENT_ATTENTION": ("float32", "float16", "bfloat16"),
    "CUDNN_ATTENTION": ("float16", "bfloat16"),
}


def _call(
    backend: Backend | None, tensors: TorchInputs, request: Request, *, causal: bool
) -> Callable[[], torch.Tensor]:
    """Return the call; `causal` uses torch's own option, whose diagonal begins at the top left."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    attention = functools.partial(
        torch.nn.functional.scaled_dot_product_attention,
        tensors.query,
        tensors.key,
        tensors.value,
        attn_mask=None if causal else _mask(tensors, request),
        is_causal=causal,
        scale=request.score_scale / request.temperature,
        enable_gqa=request.heads != request.kv_heads,
    )
    if backend is None:
        return attention
    chosen = getattr(SDPBackend, backend)

    def run() -> torch.Tensor:
        with sdpa_kernel(chosen):
            return attention()

    return run


def _mask(tensors: TorchInputs, request: Request) -> torch.Tensor | None:
    import torch

    if tensors.bias is None:
        return tensors.mask
    # On a CPU the kernels also add a float32 mask to 16-bit scores, so that a bias divided by
    # the temperature is not rounded a second time; CUDA's want the query's own dtype.
    widened = request.dtype in SIXTEEN_BITS and request.device == "cpu"
    dtype = torch.float32 if widened else tensors.query.dtype
    return additive_mask(tensors, request.temperature, dtype)


def _own_causal(request: Request) -> bool:
    """Whether is_causal says what the request asks; torch takes no mask beside it."""
    return starts_top_left(request) and not request.bias


def _refusal(backend: Backend, request: Request) -> str | None:
    """Why torch's kernel takes no call of this kind, in its own words; None if it takes it."""
    # No condition on a CPU asks for the lengths; those of CUDA do.
    longest = 2 if request.device == "cpu" else max(request.query_len, request.key_len)
    small = replace(
        request,
        batch=1,
        heads=request.heads // request.kv_heads,
        kv_heads=1,
        query_len=min(request.query_len, longest),
        key_len=min(request.key_len, longest),
        pad_lens=request.pad_lens and (1,),
        temperature=1.0,
        scale=None,
    )
    return _refusal_of(backend, small, causal=_own_causal(request))


@functools.cache
def _refusal_of(backend: Backend, request: Request, *, causal: bool) -> str | None:

    call = _call(backend, torch_inputs(_zeros(request), request), request, causal=causal)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            call()
        except RuntimeError as error:
            return _words([str(warning.message) for warning in told]) or str(error).strip()
    return None


def _zeros(request: Request) -> Inputs:
    batch, lengths = request.batch, (request.query_len, request.key_len)
    keys = (batch, request.kv_heads, request.key_len)
    return Inputs(
        query=np.zeros((batch, request.heads, request.query_len, request.head_dim), np.float32),
        key=np.zeros((*keys, request.head_dim), np.float32),
        value=np.zeros((*keys, request.value_dim), np.float32),
        mask=request.visible(),
        bias=np.zeros((request.heads, *lengths), np.float32) if request.bias else None,
    )


def _words(told: list[str]) -> str:
    """What torch warns of, without its headings and the places in its own code."""
    sentences = [one.partition("(Triggered internally")[0].strip() for one in told]
    headings = ("because:", "runtime disabled.")
    return " ".join(one for one in sentences if not one.endswith(headings))


def _unsupported(
    name: str, backend: Backend | None, devices: tuple[str, ...], request: Request
) -> list[str]:
    reasons = cannot_run(name, request, devices=devices)
    if request.device == "cuda":
        reasons += _beyond_cuda(backend, request)
    twice = request.dtype in SIXTEEN_BITS and request.device != "cpu"
    if request.bias and request.temperature != 1 and twice:
        reasons.append(
            f"a {request.dtype} bias divided by the temperature would be rounded a second time"
        )
    if not reasons and backend is not None and (refusal := _refusal(backend, request)):
        reasons.append(f"torch's kernel refuses the call: {refusal}")
    return reasons


def _beyond_cuda(backend: Backend | None, request: Request) -> list[str]:
    reasons = []
    if backend in CUDA_DTYPES and request.dtype not in CUDA_DTYPES[backend]:
        known = ", ".join(CUDA_DTYPES[backend])
        reasons.append(f"on CUDA this kernel computes in {known}, not in {request.dtype}")
    masked = request.bias or (request.mask != "none" and not _own_causal(request))
    if backend == "FLASH_ATTENTION" and masked:
        reasons.append("on CUDA the flash kernel takes no mask but its own causal one")
    return reasons


def _prepare(
    backend: Backend | None,
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    tensors = torch_inputs(inputs, request)
    causal = _own_causal(request) and mask_is_the_requests(inputs, request)
    call = _call(backend, tensors, request, causal=causal)
    return lambda: RawResult(call())


def _row(
    name: str, backend: Backend | None, devices: tuple[str, ...], limits: str
) -> Implementation:
    return Implementation(
        name=name,
        framework="torch",
        source="torch.nn.functional.scaled_dot_product_attention"
        + (f", SDPBackend.{backend}" if backend else ""),
        devices=devices,
        dtypes=DTYPES,
        returns=frozenset({"output"}),
        empty_rows="zero",
        causal_align="top_left",
        scores_dtype="float32",
        compiles=False,
        limits=(
            "Boolean mask, True where a query may attend; is_causal where the diagonal begins at "
            f"the top left, else a mask. {limits}"
        ),
        unsupported=functools.partial(_unsupported, name, backend, devices),
        prepare=functools.partial(_prepare, backend),
    )


SDPA = _row("torch-sdpa", None, DEVICES, "torch chooses the kernel.")
SDPA_MATH = _row("torch-sdpa-math", "MATH", DEVICES, "Holds all T × S weights.")
SDPA_FLASH = _row(
    "torch-sdpa-flash",
    "FLASH_ATTENTION",
    ("cpu", "cuda"),
    "value_dim equal to head_dim; on CUDA 16 bits, and no mask but the causal one.",
)
SDPA_EFFICIENT = _row(
    "torch-sdpa-efficient", "EFFICIENT_ATTENTION", ("cuda",), "float32 and 16 bits."
)
SDPA_CUDNN = _row("torch-sdpa-cudnn", "CUDNN_ATTENTION", ("cuda",), "16 bits.")
