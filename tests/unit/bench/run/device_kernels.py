"""Fake kernels of a CUDA device, for the stand-in: a correct one, and one for each fault."""

import time
from dataclasses import replace
from pathlib import Path

import torch

from attnpanel.kernels import find_implementation
from tests.unit.bench.run import stand_in_cuda

DEVICE = stand_in_cuda.DEVICE
EAGER = find_implementation("torch-eager")


def kernel(name, before):
    """Return eager attention that calls `before(request)` at each call."""

    def prepare(inputs, request, *, threads=1):
        call = EAGER.prepare(inputs, request, threads=threads)

        def run():
            before(request)
            return call()

        return run

    return replace(EAGER, name=name, prepare=prepare, hidden_leaks=None)


def out_of_memory(request):
    if request.mask == "none":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB.")


def access_illegally(request):
    if request.mask == "none":
        DEVICE.lost = stand_in_cuda.ILLEGAL_ACCESS
    DEVICE.check()


def stop_the_clock(request):
    if request.mask == "none":
        DEVICE.elapsed_ms = 0.0


def hang(request):
    if request.mask == "none":
        time.sleep(600)


def disappear(request):
    if request.mask == "causal":
        Path(stand_in_cuda.os.environ[stand_in_cuda.GONE]).touch()
    DEVICE.check()


RIGHT = kernel("right", lambda _request: None)
GREEDY = kernel("greedy", out_of_memory)
ILLEGAL = kernel("illegal", access_illegally)
TIMELESS = kernel("timeless", stop_the_clock)
HANGING = kernel("hanging", hang)
DISAPPEARING = kernel("disappearing", disappear)
