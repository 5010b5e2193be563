"""A call captured as a CUDA graph: the order PyTorch asks for, by a stand-in for torch.cuda."""

from __future__ import annotations

from contextlib import contextmanager

from bench.cuda_graphs import as_graph


class FakeStream:
    def __init__(self, told, name):
        self.told = told
        self.name = name

    def wait_stream(self, other):
        self.told.append(f"{self.name} waits for {other.name}")


class FakeCuda:
    """Writes down what happens, and inside which block."""

    def __init__(self):
        self.told: list[str] = []

    def Stream(self):  # noqa: N802 - torch's name
        return FakeStream(self.told, "side")

    def current_stream(self):
        return FakeStream(self.told, "main")

    @contextmanager
    def stream(self, stream):
        self.told.append(f"on {stream.name}")
        yield
        self.told.append(f"off {stream.name}")

    def CUDAGraph(self):  # noqa: N802 - torch's name
        told = self.told

        class Graph:
            def replay(self):
                told.append("replay")

        return Graph()

    @contextmanager
    def graph(self, _graph):
        self.told.append("capture")
        yield
        self.told.append("captured")


def test_it_is_called_on_a_side_stream_then_captured_once_and_replayed():
    cuda = FakeCuda()

    replay = as_graph(lambda: cuda.told.append("call"), cuda)
    replay()
    replay()

    assert cuda.told == [
        "side waits for main",
        "on side",
        *["call"] * 3,
        "off side",
        "main waits for side",
        "capture",
        "call",
        "captured",
        "replay",
        "replay",
    ]
