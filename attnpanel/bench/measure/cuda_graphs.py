"""Capture a call as a CUDA graph and replay it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Warm-up calls on a side stream before the capture: lazy allocations can't be captured.
CALLS_BEFORE = 3


def capture_cuda_graph(call: Callable[[], Any], cuda: Any = None) -> Callable[[], Any]:
    """Return a function that replays the kernels launched by a call, without its host work.

    It returns the captured result, which is in the graph's memory. That memory is overwritten by
    nan before the first replay, so that a graph that computes nothing returns nothing right.

    Parameters
    ----------
    call : function
        Must launch the same kernels on the same memory each time. It and its inputs are kept
        alive.
    cuda : module, optional
        ``torch.cuda``, or a fake in tests.

    References
    ----------
    PyTorch documentation, "CUDA semantics", section "CUDA Graphs".
    """
    if cuda is None:
        import torch

        cuda = torch.cuda
    stream = cuda.Stream()
    stream.wait_stream(cuda.current_stream())
    with cuda.stream(stream):
        for _ in range(CALLS_BEFORE):
            call()
    cuda.current_stream().wait_stream(stream)
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        result = call()
    for array in (result.output, result.weights, result.logsumexp):
        if array is not None:
            array.fill_(math.nan)

    def replay(_alive: Callable[[], Any] = call) -> Any:
        graph.replay()
        return result

    return replay
