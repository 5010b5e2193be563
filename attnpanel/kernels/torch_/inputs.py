"""Inputs as tensors, compiling, and reasons, shared by the PyTorch implementations."""

from __future__ import annotations

import functools
import math
import os
import shutil
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.kernels.arrays import memory_of
from attnpanel.kernels.reasons import device_is_here, no_device, unmet
from attnpanel.kernels.request import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType, Request

    # Of batch, head, query and key index, as tensors; a score, where there is one, before them.
    PositionRule = Callable[..., torch.Tensor]
    # Copied memory by the address and number of its elements, of one dtype and device.
    Copies = dict[tuple[int, int], torch.Tensor]

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
        Not changed: the tensors share no memory with them. Query, key, value and bias may be
        tensors already, which are taken as they are, so that gradients reach them.
    request : Request
        Gives dtype and device of the tensors.
    """
    import torch

    device = torch_device(request)
    dtype = getattr(torch, request.dtype)
    copies: Copies = {}

    def to_device(array: NDArray[np.floating] | torch.Tensor) -> torch.Tensor:
        return tensor_of(array, dtype, device, copies) if isinstance(array, np.ndarray) else array

    mask = inputs.mask
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]
    return TorchInputs(
        query=to_device(inputs.query),
        key=to_device(inputs.key),
        value=to_device(inputs.value),
        mask=None if mask is None else tensor_of(mask, torch.bool, device),
        bias=None if inputs.bias is None else to_device(inputs.bias[None]),
    )


def tensor_of(
    array: NDArray[Any], dtype: torch.dtype, device: torch.device, copies: Copies | None = None
) -> torch.Tensor:
    """Copy an array with its layout: strides, expanded axes, and where its memory begins.

    What lies around a view in the memory that it is of is copied, too. Only negative strides, which
    a tensor can't have, are lost.

    Parameters
    ----------
    array : array
    dtype, device
        Of the tensor.
    copies : dict, optional
        Memory copied before: arrays that share theirs give tensors that share theirs.
    """
    import torch

    copies = {} if copies is None else copies
    size = array.itemsize
    strides = [stride // size for stride in array.strides]
    for axis in reversed(range(array.ndim)):
        if array.shape[axis] == 1:  # any stride will do; torch's flash kernel wants this one
            last = axis == array.ndim - 1
            strides[axis] = 1 if last else strides[axis + 1] * array.shape[axis + 1]
    exact = all(stride >= 0 and stride % size == 0 for stride in array.strides)
    if array.size == 0 or not exact:
        return torch.tensor(array.copy(), dtype=dtype, device=device)
    memory, offset = memory_of(array)
    name = (memory.ctypes.data, memory.size)
    if name not in copies:
        copies[name] = torch.tensor(memory, dtype=dtype, device=device)
    return copies[name].as_strided(array.shape, strides, offset)


def small_call(request: Request) -> Request:
    """Return a small request of the same kind, to try whether a kernel takes it."""
    # Lengths matter to the conditions of CUDA's kernels, not to those on a CPU.
    longest = 2 if request.device == "cpu" else max(request.query_len, request.key_len)
    single = replace(
        request,
        batch=1,
        heads=request.heads // request.kv_heads,
        kv_heads=1,
        pad_lens=request.pad_lens and (1,),
        temperature=1.0,
        scale=None,
    )
    return single.shortened(min(request.query_len, longest), min(request.key_len, longest))


def zero_inputs(request: Request) -> Inputs:
    """Return inputs of zeros, with the request's mask."""
    keys = (request.batch, request.kv_heads, request.key_len)
    pairs = (request.query_len, request.key_len)
    return Inputs(
        query=np.zeros(
            (request.batch, request.heads, request.query_len, request.head_dim), np.float32
        ),
        key=np.zeros((*keys, request.head_dim), np.float32),
        value=np.zeros((*keys, request.value_dim), np.float32),
        mask=request.visible(),
        bias=np.zeros((request.heads, *pairs), np.float32) if request.bias else None,
    )


def torch_device(request: Request) -> torch.device:
    """Return the current device of the request's type."""
    import torch

    if request.device == "cpu":
        return torch.device("cpu")
    # With an index: FakeTensorMode, which needs no device, can't look up the current one.
    available = torch.accelerator.is_available()
    index = torch.accelerator.current_device_index() if available else 0
    return torch.device(request.device, index)


def repeat_heads(kv: torch.Tensor, heads: int) -> torch.Tensor:
    """Repeat each key or value head for every query head that reads it: (B, H, S, D).

    Query head `h` reads head ``h // (heads / kv_heads)``, as in grouped-query attention.
    """
    group = heads // kv.shape[1]
    return kv if group == 1 else kv.repeat_interleave(group, dim=1)


def additive_mask(
    tensors: TorchInputs, temperature: float, dtype: torch.dtype
) -> torch.Tensor | None:
    """Return bias / temperature with -inf where a query may not attend; None without both.

    Always -inf: with a large finite number instead, SDPA gives an empty row the *unmasked* softmax
    (float64 with -1e9, float16 with its own minimum).
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
    """The request's mask, other than none, as a rule about positions: the table's, in torch."""
    import torch

    keys = request.visible_keys()
    if request.pad_lens is None:
        return lambda _b, _h, i, j: keys.sees(i, j, torch.where)
    real = torch.tensor(request.pad_lens, dtype=torch.int64, device=device)

    def rule(b: Any, _h: Any, i: Any, j: Any) -> torch.Tensor:
        padded = replace(keys, parameters={**keys.parameters, "pad_len": real[b]})
        seen: torch.Tensor = padded.sees(i, j, torch.where)
        return seen

    return rule


@functools.lru_cache(maxsize=32)
def compiled(
    function: Callable[..., Any],
    request: Request,  # noqa: ARG001 - the cache's key: one compilation a request
) -> Callable[..., Any]:
    """Return the function under torch.compile; its first call compiles it, once per request."""
    import torch

    # Without isolate_recompiles all requests count towards one limit of eight compilations of a
    # function. torch's annotations lack the option.
    untyped_compile: Any = torch.compile
    compiled_function: Callable[..., Any] = untyped_compile(
        function, fullgraph=True, dynamic=False, isolate_recompiles=True
    )
    return compiled_function


def torch_failures() -> tuple[type[Exception], ...]:
    """Return the exceptions of a device that ran out of memory or is lost, not of a bad call."""
    import torch

    names = ("OutOfMemoryError", "AcceleratorError")  # the latter since PyTorch 2.8
    return tuple(getattr(torch, name) for name in names if hasattr(torch, name))


def cannot_run(
    name: str,
    request: Request,
    *,
    devices: tuple[str, ...] = DEVICES,
    dtypes: tuple[str, ...] = DTYPES,
    since: tuple[int, int] = (2, 6),
) -> list[str]:
    """List the reasons why PyTorch can't run this request here.

    `since` is the first version of PyTorch with the function that is called.
    """
    reasons = unmet(name, request, devices=devices, dtypes=dtypes, packages=("torch",))
    if find_spec("torch") is not None and _torch_version() < since:
        needed, installed = (".".join(map(str, v)) for v in (since, _torch_version()))
        reasons.append(f"{name} needs PyTorch {needed} or newer; here is {installed}")
    supported = find_spec("torch") is not None and request.device in devices
    if supported and not device_is_here(request.device):
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
    """List the reasons why torch.compile can't compile for this request here."""
    # torch.compile(isolate_recompiles=) was checked in 2.13.
    reasons = cannot_run(name, request, devices=devices, dtypes=dtypes, since=(2, 13))
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if request.device == "cpu" and shutil.which(compiler) is None:
        reasons.append(f"torch.compile needs a C++ compiler for a CPU; {compiler} is not here")
    return reasons


def _torch_version() -> tuple[int, int]:
    # From the metadata: importing torch takes seconds.
    major, minor, *_ = version("torch").split(".")
    return int(major), int(minor)
