"""Capturing a CUDA graph in the order that PyTorch requires, with a fake torch.cuda."""

from __future__ import annotations

from contextlib import contextmanager

from attnpanel.bench.measure.cuda_graphs import capture_cuda_graph
from attnpanel.kernels.implementation import RawResult


class FakeStream:
    def __init__(self, events, name):
        self.events = events
        self.name = name

    def wait_stream(self, other):
        self.events.append(f"{self.name} waits for {other.name}")


class FakeTensor:
    def __init__(self, events):
        self.events = events

    def fill_(self, value):
        self.events.append(f"fill {value}")


class FakeCuda:
    """Writes down what happens, and inside which block."""

    def __init__(self):
        self.events: list[str] = []

    def Stream(self):  # noqa: N802 - torch's name
        return FakeStream(self.events, "side")

    def current_stream(self):
        return FakeStream(self.events, "main")

    @contextmanager
    def stream(self, stream):
        self.events.append(f"on {stream.name}")
        yield
        self.events.append(f"off {stream.name}")

    def CUDAGraph(self):  # noqa: N802 - torch's name
        events = self.events

        class Graph:
            def replay(self):
                events.append("replay")

        return Graph()

    @contextmanager
    def graph(self, _graph):
        self.events.append("capture")
        yield
        self.events.append("captured")


def test_a_call_is_warmed_up_on_a_side_stream_captured_and_replayed():
    cuda = FakeCuda()

    output = FakeTensor(cuda.events)

    def call():
        cuda.events.append("call")
        return RawResult(output)

    replay = capture_cuda_graph(call, cuda)

    assert replay().output is replay().output is output

    assert cuda.events == [
        "side waits for main",
        "on side",
        *["call"] * 3,
        "off side",
        "main waits for side",
        "capture",
        "call",
        "captured",
        # What an empty graph would return.
        "fill nan",
        "replay",
        "replay",
    ]
