"""What PyTorch implementations share: inputs as tensors, compiling, why a request can't run."""

from __future__ import annotations

import functools
import math
import os
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from attnpanel.kernels.reasons import device_is_here, no_device, unmet

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Inputs, Request

    # Of batch, head, query and key index, as tensors; a score, where there is one, before them.
    PositionRule = Callable[..., torch.Tensor]

# Any device that torch's accelerator API names; only the SDPA backends are CUDA's own.
DEVICES: Final = ("cpu", "cuda", "xpu", "mps")
DTYPES: Final[tuple[DType, ...]] = ("float64", "float32", "float16", "bfloat16")
SIXTEEN_BITS: Final = frozenset({"float16", "bfloat16"})


@dataclass(frozen=True, eq=False)
class TorchInputs:
    """The inputs of one call, copied to the request's device in its dtype.

    Attributes
    ----------
    query : tensor of shape (B, H, T, D)
    key : tensor of shape (B, Hkv, S, D)
    value : tensor of shape (B, Hkv, S, Dv)
    mask : bool tensor of four axes, broadcastable to (B, H, T, S), or None
    bias : tensor of shape (1, H, T, S), or None
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    bias: torch.Tensor | None


def torch_inputs(inputs: Inputs, request: Request) -> TorchInputs:
    """Copy NumPy inputs to the request's device.

    Parameters
    ----------
    inputs : Inputs
        Left as they are: nothing is shared with the tensors.
    request : Request
        Its dtype and device decide.
    """
    import torch

    device = torch_device(request)
    dtype = getattr(torch, request.dtype)

    def moved(array: NDArray[np.floating]) -> torch.Tensor:
        return torch.tensor(array, dtype=dtype, device=device)

    mask = inputs.mask
    if mask is not None:
        mask = mask.reshape((1,) * (4 - mask.ndim) + mask.shape)
    return TorchInputs(
        query=moved(inputs.query),
        key=moved(inputs.key),
        value=moved(inputs.value),
        mask=None if mask is None else torch.tensor(mask, device=device),
        bias=None if inputs.bias is None else moved(inputs.bias[None]),
    )


def torch_device(request: Request) -> torch.device:
    """Return the device that tensors of this request live on: the current one of its type."""
    import torch

    if request.device == "cpu":
        return torch.device("cpu")
    # With its number: FakeTensorMode, which needs no device, can't look the current one up.
    there = torch.accelerator.is_available()
    return torch.device(request.device, torch.accelerator.current_device_index() if there else 0)


def repeat_heads(kv: torch.Tensor, heads: int) -> torch.Tensor:
    """Each key or value head once for every query head that reads it: (B, H, S, D).

    Query head `h` reads head ``h // (heads / kv_heads)``, as in grouped-query attention.
    """
    group = heads // kv.shape[1]
    return kv if group == 1 else kv.repeat_interleave(group, dim=1)


def additive_mask(
    tensors: TorchInputs, temperature: float, dtype: torch.dtype
) -> torch.Tensor | None:
    """The bias over the temperature, with -inf where a query may not attend; None without either.

    Always -inf: with a large finite number instead, SDPA gives an empty row the *unmasked*
    softmax (float64 with -1e9, float16 with its own minimum).
    """
    if tensors.bias is None:
        if tensors.mask is None:
            return None
        zeros = tensors.query.new_zeros(tensors.mask.shape, dtype=dtype)
        return zeros.masked_fill(tensors.mask.logical_not(), -math.inf)
    added = tensors.bias.to(dtype) / temperature
    return (
        added if tensors.mask is None else added.masked_fill(tensors.mask.logical_not(), -math.inf)
    )


def mask_rule(request: Request, device: torch.device) -> PositionRule:
    """The request's mask, other than none, as a rule about positions: make_mask's, in torch."""
    import torch

    first = request.key_len - request.query_len if request.align == "bottom_right" else 0
    window = request.window
    real = torch.tensor(request.pad_lens or (), dtype=torch.int64, device=device)

    rules: dict[str, PositionRule] = {
        "causal": lambda _b, _h, i, j: j <= i + first,
        "window": lambda _b, _h, i, j: (i + first - j).abs() < window,
        "key_padding": lambda b, _h, _i, j: j < real[b],
        "padding": lambda b, _h, i, j: (i < real[b]) & (j < real[b]),
    }
    return rules[request.mask]


@functools.lru_cache(maxsize=32)
def compiled(
    function: Callable[..., Any],
    request: Request,  # noqa: ARG001 - the cache's key: one compilation a request
) -> Callable[..., Any]:
    """Return the function through torch.compile: compiled by its first call, once a request."""
    import torch

    # torch's own annotations leave isolate_recompiles out. Without it all requests count towards
    # one limit of eight compilations of a function.
    compile_apart: Any = torch.compile
    apart: Callable[..., Any] = compile_apart(
        function, fullgraph=True, dynamic=False, isolate_recompiles=True
    )
    return apart


def cannot_run(
    name: str,
    request: Request,
    *,
    devices: tuple[str, ...] = DEVICES,
    dtypes: tuple[str, ...] = DTYPES,
    since: tuple[int, int] = (2, 6),
) -> list[str]:
    """Why no tensor of this request can be computed with here, in words; empty if one can.

    `since` is the first version of PyTorch that has what is called.
    """
    reasons = unmet(name, request, devices=devices, dtypes=dtypes, packages=("torch",))
    if find_spec("torch") is not None and _torch_version() < since:
        needed, here = (".".join(map(str, one)) for one in (since, _torch_version()))
        reasons.append(f"{name} needs PyTorch {needed} or newer; here is {here}")
    known = find_spec("torch") is not None and request.device in devices
    if known and not device_is_here(request.device):
        reasons.append(no_device(request.device))
    if request.device == "mps" and request.dtype == "float64":
        reasons.append("MPS devices have no float64")
    return reasons


def cannot_compile(
    name: str,
    request: Request,
    *,
    devices: tuple[str, ...] = DEVICES,
    dtypes: tuple[str, ...] = DTYPES,
) -> list[str]:
    """Why torch.compile can't make this request's kernel here, in words; empty if it can."""
    # 2.13 is known to have torch.compile(isolate_recompiles=).
    reasons = cannot_run(name, request, devices=devices, dtypes=dtypes, since=(2, 13))
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if request.device == "cpu" and shutil.which(compiler) is None:
        reasons.append(f"torch.compile needs a C++ compiler for a CPU; {compiler} is not here")
    return reasons


def _torch_version() -> tuple[int, int]:
    # From its metadata: importing torch takes seconds, and a table of reasons needs none of it.
    major, minor, *_ = version("torch").split(".")
    return int(major), int(minor)
