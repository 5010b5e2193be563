"""A stand-in for a CUDA device: torch's calls for one are answered by the CPU.

Tensors are made on the CPU and say that they are on ``cuda:0``; events are readings of the
performance counter, graphs calls that are made again. :data:`DEVICE` holds the faults: what a
kernel sets is what the device then does.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import SimpleNamespace

import torch
from torch.overrides import TorchFunctionMode

# A file; if it exists when a process starts, or its device is asked, there is no device.
GONE = "STAND_IN_CUDA_GONE"
ILLEGAL_ACCESS = "CUDA error: an illegal memory access was encountered"
CACHE_BYTES = 2**20


class Device:
    """What the stand-in does.

    Attributes
    ----------
    lost : str
        The error with which every later call fails; empty if the device works.
    elapsed_ms : float or None
        What events say in place of the time.
    """

    def __init__(self):
        self.lost = ""
        self.elapsed_ms = None
        self.graph = None

    @property
    def here(self):
        return not os.path.exists(os.environ.get(GONE, ""))  # noqa: PTH110 - empty is no path

    def check(self, *_):
        if self.lost:
            raise torch.AcceleratorError(self.lost)
        if not self.here:
            raise torch.AcceleratorError("CUDA error: device was removed")


DEVICE = Device()


class Event:
    def __init__(self, *, enable_timing=False):
        self.timed, self.at = enable_timing, None

    def record(self, _stream=None):
        DEVICE.check()
        self.at = time.perf_counter()

    def elapsed_time(self, end):
        DEVICE.check()
        if not (self.timed and end.timed):
            raise RuntimeError("both events must be made with enable_timing=True")
        return (end.at - self.at) * 1e3 if DEVICE.elapsed_ms is None else DEVICE.elapsed_ms


class Stream:
    def wait_stream(self, _other):
        DEVICE.check()


class Graph:
    """Repeats the last call of those that were captured, into the memory of its result."""

    def __init__(self):
        self.calls = []

    def replay(self):
        DEVICE.check()
        for function, arguments, keywords, result in self.calls:
            made = function(*arguments, **keywords)
            if isinstance(result, torch.Tensor) and isinstance(made, torch.Tensor):
                with torch._C.DisableTorchFunction(), torch.no_grad():
                    result.copy_(made)


class OnCpu(TorchFunctionMode):
    """Answers what is asked of a CUDA device by the CPU."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if not DEVICE.here:
            return function(*arguments, **keywords)
        if getattr(function, "__name__", "") == "__get__":
            if function == torch.Tensor.device.__get__:
                return torch.device("cuda", 0)
            return function(*arguments, **keywords)
        if function is torch.device:
            return function(*arguments, **keywords)
        if _is_cuda(keywords.get("device")):
            DEVICE.check()
            keywords["device"] = torch.device("cpu")
        arguments = tuple(torch.device("cpu") if _is_cuda(one) else one for one in arguments)
        result = function(*arguments, **keywords)
        if DEVICE.graph is not None:
            DEVICE.graph.calls.append((function, arguments, keywords, result))
        return result


def _is_cuda(device):
    return (isinstance(device, torch.device) and device.type == "cuda") or (
        isinstance(device, str) and device.startswith("cuda")
    )


@contextlib.contextmanager
def _graph(graph):
    DEVICE.graph = graph
    try:
        yield
    finally:
        DEVICE.graph = None


_memory = SimpleNamespace(used=0)
FUNCTIONS = {
    "Event": Event,
    "Stream": Stream,
    "CUDAGraph": Graph,
    "graph": _graph,
    "stream": lambda _stream: contextlib.nullcontext(),
    "current_stream": Stream,
    "synchronize": lambda *_: DEVICE.check(),
    "is_available": lambda *_: DEVICE.here,
    "is_initialized": lambda *_: True,
    "current_device": lambda *_: 0,
    "empty_cache": DEVICE.check,
    "get_device_name": lambda *_: "NVIDIA H200",
    "get_device_properties": lambda *_: SimpleNamespace(L2_cache_size=CACHE_BYTES),
    "reset_peak_memory_stats": DEVICE.check,
    "memory_allocated": lambda *_: 2**20,
    "max_memory_allocated": lambda *_: 2**20 + 12345,
}
ACCELERATOR = {
    "is_available": lambda *_: DEVICE.here,
    "current_accelerator": lambda *_: torch.device("cuda"),
    "current_device_index": lambda *_: 0,
}


def install():
    """Install the stand-in in this process; return what removes it."""
    kept = [
        (module, name, getattr(module, name))
        for module, names in ((torch.cuda, FUNCTIONS), (torch.accelerator, ACCELERATOR))
        for name in names
    ]
    for module, names in ((torch.cuda, FUNCTIONS), (torch.accelerator, ACCELERATOR)):
        for name, function in names.items():
            setattr(module, name, function)
    mode = OnCpu()
    mode.__enter__()

    def remove():
        mode.__exit__(None, None, None)
        DEVICE.__init__()
        for module, name, function in kept:
            setattr(module, name, function)

    return remove
