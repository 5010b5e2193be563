"""A call as a CUDA graph: what it launches is recorded once and then replayed as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Before a capture, calls on a stream of its own: what they allocate lazily can't be captured.
CALLS_BEFORE = 3


def as_graph(call: Callable[[], Any], cuda: Any = None) -> Callable[[], Any]:
    """Return what replays the kernels that a call launches, without the host's part of it.

    Parameters
    ----------
    call : function
        Always the same kernels on the same memory; its results stay in the graph's memory.
    cuda : module, optional
        ``torch.cuda``, or what stands for it in a test.

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
        call()
    replay: Callable[[], Any] = graph.replay
    return replay
