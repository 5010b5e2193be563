"""PyTorch's scaled_dot_product_attention, with torch's choice of backend and with each.

Whether a backend supports a call is found by trying a small call of the same kind; torch's own
message is the reason that a table shows.
"""

from __future__ import annotations

import functools
import warnings
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from attnpanel.kernels.implementation import LEAKS_ALL, Implementation, RawResult
from attnpanel.kernels.native_causal import matches_request_mask, requests_top_left_causal
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import (
    DEVICES,
    DTYPES,
    SIXTEEN_BITS,
    additive_mask,
    cannot_run,
    small_call,
    torch_failures,
    torch_inputs,
    zero_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from attnpanel.kernels.implementation import NonFinite
    from attnpanel.kernels.request import Inputs, Request
    from attnpanel.kernels.torch_.inputs import TorchInputs

Backend = Literal["MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION"]
# Dtypes of CUDA's kernels by torch's documentation, for machines without a CUDA device.
CUDA_DTYPES: dict[Backend | None, tuple[str, ...]] = {
    "FLASH_ATTENTION": ("float16", "bfloat16"),
    "EFFICIENT_ATTENTION": ("float32", "float16", "bfloat16"),
    "CUDNN_ATTENTION": ("float16", "bfloat16"),
}


def _call(
    backend: Backend | None, tensors: TorchInputs, request: Request, *, causal: bool
) -> Callable[[], torch.Tensor]:
    """Return the call; `causal` uses torch's is_causal, whose diagonal begins at the top left."""
    import torch

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

    def run() -> torch.Tensor:
        if _entered.get() == backend:
            return attention()
        with backend_context(backend):
            return attention()

    return run


# Entering torch's context takes some 20 µs, which is a large part of a short call.
_entered: ContextVar[Backend | None] = ContextVar("entered", default=None)


@contextmanager
def backend_context(backend: Backend) -> Iterator[None]:
    """Restrict torch's scaled_dot_product_attention to a backend for the calls inside."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel(getattr(SDPBackend, backend)):
        token = _entered.set(backend)
        try:
            yield
        finally:
            _entered.reset(token)


def _mask(tensors: TorchInputs, request: Request) -> torch.Tensor | None:
    import torch

    if tensors.bias is None:
        return tensors.mask
    # On a CPU the kernels add a float32 mask to 16-bit scores, so the quotient of bias and
    # temperature is not rounded to 16 bits; CUDA's kernels require the query's dtype.
    widened = request.dtype in SIXTEEN_BITS and request.device == "cpu"
    dtype = torch.float32 if widened else tensors.query.dtype
    return additive_mask(tensors, request.temperature, dtype)


def _own_causal(request: Request) -> bool:
    """Return whether is_causal alone expresses the request; torch takes no mask beside it.

    With a negative scale torch 2.13's CPU kernel hides keys before it multiplies, and the -inf
    becomes inf: such a call takes a mask.
    """
    return requests_top_left_causal(request) and not request.bias and request.score_scale > 0


def _refusal(backend: Backend, request: Request) -> str | None:
    """Return torch's message if the backend refuses calls of this kind, else None."""
    try:
        return _refusal_of(backend, small_call(request), causal=_own_causal(request))
    except torch_failures():
        # No refusal, and not remembered: the call itself will tell.
        return None


@functools.cache
def _refusal_of(backend: Backend, request: Request, *, causal: bool) -> str | None:
    call = _call(backend, torch_inputs(zero_inputs(request), request), request, causal=causal)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except torch_failures():
            raise
        except RuntimeError as error:
            messages = [str(warning.message) for warning in caught]
            return _reasons_in(messages) or str(error).strip()
    return None


def _reasons_in(messages: list[str]) -> str:
    """Join torch's warnings without its headings and source locations."""
    sentences = [text.partition("(Triggered internally")[0].strip() for text in messages]
    headings = ("because:", "runtime disabled.")
    return " ".join(sentence for sentence in sentences if not sentence.endswith(headings))


def _unsupported(
    name: str, backend: Backend | None, devices: tuple[str, ...], request: Request
) -> list[str]:
    reasons = cannot_run(name, request, devices=devices)
    if request.device == "cuda":
        reasons += _beyond_cuda(backend, request)
    rounded_twice = request.dtype in SIXTEEN_BITS and request.device != "cpu"
    if request.bias and request.temperature != 1 and rounded_twice:
        reasons.append(
            f"a {request.dtype} bias divided by the temperature would be rounded a second time"
        )
    if not reasons and backend is not None and (refusal := _refusal(backend, request)):
        reasons.append(f"torch's kernel refuses the call: {refusal}")
    return reasons


def _beyond_cuda(backend: Backend | None, request: Request) -> list[str]:
    reasons = []
    if backend in CUDA_DTYPES and request.dtype not in CUDA_DTYPES[backend]:
        supported = ", ".join(CUDA_DTYPES[backend])
        reasons.append(f"on CUDA this kernel computes in {supported}, not in {request.dtype}")
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
    causal = _own_causal(request) and matches_request_mask(inputs, request)
    call = _call(backend, tensors, request, causal=causal)
    return lambda: RawResult(call())


def _row(
    name: str, backend: Backend | None, devices: tuple[str, ...], limits: str
) -> Implementation:
    prepare = functools.partial(_prepare, backend)
    # torch 2.13's flash kernel on a CPU returns 0 for a nan in a query of few keys.
    swallows: frozenset[NonFinite] = frozenset() if backend == "MATH" else frozenset({"scores"})
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
            f"the top left and the scale is positive, else a mask. {limits}"
        ),
        unsupported=functools.partial(_unsupported, name, backend, devices),
        prepare=prepare,
        # The others round them before the product with the values.
        weights_dtype="float32" if backend == "MATH" else "storage",
        hidden_leaks=LEAKS_ALL if "cpu" in devices else None,  # the others were never run by us
        swallows=swallows if "cpu" in devices else None,
        strided=backend != "FLASH_ATTENTION",  # it refuses channels that are not adjacent
        adjacent_strided=True,
        context=functools.partial(backend_context, backend) if backend else nullcontext,
        gradients=by_autograd(prepare),
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
