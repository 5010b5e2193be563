"""The roofline: measured limits of a machine and the minimal time of a request."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from attnpanel.bench.measure.clocks import clock_for
from attnpanel.bench.measure.datasheets import datasheet_of
from attnpanel.bench.measure.flop_count import ITEM_BYTES, flops, minimal_bytes
from attnpanel.bench.measure.reference_workload import ReferenceWorkload
from attnpanel.bench.run.records import Limits, MemoryRate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from attnpanel.bench.measure.clocks import Clock
    from attnpanel.bench.run.records import Timing
    from attnpanel.kernels.request import Request

# Far larger than the last-level cache of a CPU; a copy reads and writes it once.
COPY_BYTES = 2**27
# Arrays that fit into each level of cache.
STEP_BYTES = (2**16, 2**19, 2**22, COPY_BYTES)
SAMPLES = 5
# Kinds of products that are sampled, after a first look at all.
FINALISTS = 3
# Below this a sample is the mean of several calls.
MIN_SAMPLE_S = 1e-3
# Sizes of square products, and lengths of batches of products as attention has them: none is the
# fastest everywhere.
CPU_SIZES, DEVICE_SIZES = (256, 512, 1024), (2048, 4096, 8192)
BATCH, CHANNELS = 8, 64

# A function and the operations, or bytes, of a call of it.
Work: TypeAlias = "tuple[Callable[[], Any], int]"


def least_seconds(request: Request, limits: Limits) -> float:
    """Return the minimal time of a request: the larger of arithmetic and memory time.

    Uses the fastest samples of the limits, so that no implementation exceeds them.
    """
    moved = minimal_bytes(request)
    rates = [step.bytes_per_s for step in _steps_at(limits, moved)]
    return max(
        flops(request) / max(limits.gemm_flops_per_s),
        moved / max(rates or limits.copy_bytes_per_s),
    )


def share_of_limit(request: Request, limits: Limits, timing: Timing) -> float:
    """Return the minimal time of a request over the median time of a row.

    Both relative to the reference workload beside them, where both have one: cores that are shared
    are faster in one minute than in the next.
    """
    own = np.array(timing.own_s)
    moved = minimal_bytes(request)
    paces = [step.per_yardstick for step in _steps_at(limits, moved)]
    known = [pace for pace in paces if pace is not None]
    if not (timing.yardstick_s and limits.gemm_yardstick_s and known):
        return float(least_seconds(request, limits) / np.median(own))
    products = np.array(limits.gemm_flops_per_s) * np.array(limits.gemm_yardstick_s)
    least = max(flops(request) / products.max(), moved / max(known))
    return float(least / np.median(own / np.array(timing.yardstick_s)))


def _steps_at(limits: Limits, moved: int) -> list[MemoryRate]:
    """Return the rates that bound moving so many bytes: from the next smaller size upwards."""
    smaller = [step.bytes for step in limits.steps if step.bytes <= moved]
    least = max(smaller, default=0)
    return [step for step in limits.steps if step.bytes >= least]


def merge_limits(first: Limits, second: Limits) -> Limits:
    """Return limits with the samples of both measurements."""
    steps = {step.bytes: step for step in first.steps}
    for step in second.steps:
        known = steps.setdefault(step.bytes, step)
        pace = max((one.per_yardstick or 0.0 for one in (known, step)), default=0.0)
        steps[step.bytes] = MemoryRate(
            step.bytes, max(known.bytes_per_s, step.bytes_per_s), pace or None
        )
    both = len(first.gemm_yardstick_s) == len(first.gemm_flops_per_s)
    return replace(
        first,
        gemm_flops_per_s=first.gemm_flops_per_s + second.gemm_flops_per_s,
        copy_bytes_per_s=first.copy_bytes_per_s + second.copy_bytes_per_s,
        gemm_yardstick_s=first.gemm_yardstick_s + second.gemm_yardstick_s if both else (),
        steps=tuple(steps.values()),
    )


def growth_exponent(lengths: Sequence[int], values: Sequence[float]) -> float | None:
    """Return p of ``value ~ length**p``, fitted by least squares over the logarithms.

    None for fewer than three distinct lengths, or if a value is not positive.
    """
    if len(set(lengths)) < 3 or min(values) <= 0:
        return None
    slope, _ = np.polyfit(np.log(lengths), np.log(values), 1)
    return float(slope)


def measure_limits(device: str, dtype: str, *, threads: int) -> Limits:
    """Measure the rates of large matrix products, and of copying and reading, in this process.

    By the clock that times implementations. Of the products of PyTorch and NumPy, square and in
    batches, the fastest kind is the limit. If a CPU multiplies 16-bit numbers more slowly than
    float32 (it lacks the instructions), the limit is that of float32, because an implementation may
    convert.
    """
    kinds = [dtype]
    if device == "cpu" and ITEM_BYTES[dtype] == 2:
        kinds.append("float32")
    sampler = _Sampler(device)
    products = [work for kind in kinds for work in _products(device, kind, threads)]
    products.sort(key=lambda work: sampler.seconds(work[0]) / work[1])
    rates = max(
        ([sampler.rate(*product) for _ in range(SAMPLES)] for product in products[:FINALISTS]),
        key=max,
    )
    steps: list[MemoryRate] = []
    copies: tuple[float, ...] = ()
    for size in STEP_BYTES:
        found = {
            moved: [sampler.rate(call, moved) for _ in range(SAMPLES)]
            for call, moved in _moves(device, size)
        }
        every = [rate for samples in found.values() for rate in samples]
        paces = [rate * pace for rate, pace in every if pace is not None]
        steps.append(
            MemoryRate(size, max(rate for rate, _ in every), max(paces) if paces else None)
        )
        copies = tuple(rate for rate, _ in found[2 * size])
    paces = [pace for _, pace in rates if pace is not None]
    return Limits(
        device=device,
        dtype=dtype,
        threads=threads,
        gemm_flops_per_s=tuple(rate for rate, _ in rates),
        copy_bytes_per_s=copies,
        datasheet=_datasheet(device),
        gemm_yardstick_s=tuple(paces),
        steps=tuple(steps),
    )


class _Sampler:
    """Times work by a device's clock, on the CPU with the reference workload beside it."""

    def __init__(self, device: str) -> None:
        self._clock: Clock = clock_for(device)
        self._workload = ReferenceWorkload() if device == "cpu" else None

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return the shortest of three times of a call, each of at least a millisecond."""
        call()
        once = self._clock.sample([call]).wall_s
        count = 1 if self._clock.name == "cuda" else max(1, int(MIN_SAMPLE_S / max(once, 1e-9)))
        return min(self._clock.sample([call] * count).wall_s for _ in range(3))

    def rate(self, call: Callable[[], Any], work: int) -> tuple[float, float | None]:
        """Return the rate of a sample, and the duration of the reference workload beside it."""
        if self._workload is None:
            return work / self.seconds(call), None
        before = self._workload.seconds().computing
        taken = self.seconds(call)
        return work / taken, (before + self._workload.seconds().computing) / 2


def _products(device: str, dtype: str, threads: int) -> Iterator[Work]:
    """Yield products of matrices by each installed library, and their operations."""
    sizes = CPU_SIZES if device == "cpu" else DEVICE_SIZES
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]]
    shapes = [((size, size), (size, size)) for size in sizes]
    shapes += [
        shape
        for size in sizes[:2]
        for shape in (
            ((BATCH, size, CHANNELS), (BATCH, CHANNELS, size)),
            ((BATCH, size, size), (BATCH, size, CHANNELS)),
        )
    ]
    if find_spec("torch") is not None:
        for left, right in shapes:
            yield _torch_product(device, dtype, left, right), _operations(left, right)
    # NumPy multiplies 16-bit numbers without BLAS, if at all.
    if device == "cpu" and ITEM_BYTES[dtype] > 2:
        for left, right in shapes:
            yield _numpy_product(dtype, left, right), _operations(left, right)
        if find_spec("onnxruntime") is not None and find_spec("onnx") is not None:
            session = _matmul_session(dtype, threads)
            for left, right in shapes:
                yield _session_product(session, dtype, left, right), _operations(left, right)


def _operations(left: Sequence[int], right: Sequence[int]) -> int:
    return 2 * math.prod(left) * right[-1]


def _torch_product(device: str, dtype: str, *shapes: Sequence[int]) -> Callable[[], Any]:
    import torch

    kind = getattr(torch, dtype)
    left, right = (torch.randn(*shape, device=device).to(kind) for shape in shapes)
    out = torch.matmul(left, right)
    return lambda: torch.matmul(left, right, out=out)


def _numpy_product(dtype: str, *shapes: Sequence[int]) -> Callable[[], Any]:
    left, right = _normal(dtype, *shapes)
    out = np.matmul(left, right)
    return lambda: np.matmul(left, right, out=out)


def _matmul_session(dtype: str, threads: int) -> Any:
    """Load a model of one MatMul in onnxruntime."""
    import onnxruntime
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    infos = {
        name: helper.make_tensor_value_info(name, kind, None) for name in ("left", "right", "out")
    }
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "right"], ["out"])],
        "product",
        [infos["left"], infos["right"]],
        [infos["out"]],
    )
    # The opset and the file format of ONNX 1.18, as attnpanel.kernels.onnx_runtime has them.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _session_product(session: Any, dtype: str, *shapes: Sequence[int]) -> Callable[[], Any]:
    left, right = _normal(dtype, *shapes)
    feeds = {"left": left, "right": right}
    return lambda: session.run(None, feeds)


def _normal(dtype: str, *shapes: Sequence[int]) -> list[NDArray[np.floating]]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def _moves(device: str, size: int) -> Iterator[Work]:
    """Yield a copy and a read of an array of so many bytes, and the bytes that they move."""
    if device == "cpu":
        source, target = np.ones(size // 4, np.float32), np.zeros(size // 4, np.float32)
        yield lambda: np.copyto(target, source), 2 * size
        yield lambda: np.dot(source, source), size
        return
    import torch

    first = torch.ones(size // 4, device=device)
    second = torch.empty_like(first)
    yield lambda: second.copy_(first), 2 * size
    yield first.sum, size


def _datasheet(device: str) -> str | None:
    if device != "cuda":
        return None
    import torch

    sheet = datasheet_of(torch.cuda.get_device_name())
    return None if sheet is None else sheet.words
