"""How far from the limit: what a machine can do, and what a case needs of it."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.bench_run import Limits
from bench.datasheets import datasheet_of
from bench.work import ITEM_BYTES, flops, minimal_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.kernels.request import Request

# Far above the last-level cache of a CPU; each copy reads and writes it once.
COPY_BYTES = 2**27
SAMPLES = 5
SAMPLE_S = 0.05


def least_seconds(request: Request, limits: Limits) -> float:
    """Return what no implementation can be faster than: the larger of arithmetic and memory time.

    Limits are the best samples there are, so that what is called a limit is one.
    """
    return max(
        flops(request) / max(limits.gemm_flops_per_s),
        minimal_bytes(request) / max(limits.copy_bytes_per_s),
    )


def growth_exponent(lengths: Sequence[int], values: Sequence[float]) -> float | None:
    """Return p of ``value ~ length**p``, fitted by least squares over the logarithms.

    None for fewer than three different lengths, or where a value is not positive.
    """
    if len(set(lengths)) < 3 or min(values) <= 0:
        return None
    slope, _ = np.polyfit(np.log(lengths), np.log(values), 1)
    return float(slope)


def measure_limits(device: str, dtype: str, *, threads: int) -> Limits:
    """Measure the rate of a large matrix product and of a large copy, in this process.

    With PyTorch where it is installed, else with NumPy. Where a CPU multiplies 16-bit numbers
    more slowly than float32, as those without the instructions do, the limit is float32's: an
    implementation may convert.
    """
    kinds = [dtype]
    if device == "cpu" and ITEM_BYTES[dtype] == 2:
        kinds.append("float32")
    tools = [_tools(device, kind) for kind in kinds]
    products = [_rates(product, sizes, 3) for product, _, sizes in tools]
    _, copy, _ = tools[-1]
    return Limits(
        device=device,
        dtype=dtype,
        threads=threads,
        gemm_flops_per_s=max(products, key=statistics.median),
        copy_bytes_per_s=_rates(copy, [COPY_BYTES], 1),
        datasheet=_datasheet(device),
    )


def _rates(
    make: Callable[[int], Callable[[], Any]], sizes: Sequence[int], power: int
) -> tuple[float, ...]:
    """Return work per second of each sample, at the largest size that a sample has time for."""
    size = sizes[0]
    call = make(size)
    call()
    for larger in sizes[1:]:
        if _seconds(call) * (larger / size) ** power > 2 * SAMPLE_S:
            break
        size, call = larger, make(larger)
        call()
    work = 2 * size**power
    return tuple(work / _seconds(call) for _ in range(SAMPLES))


def _seconds(call: Callable[[], Any]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def _tools(device: str, dtype: str) -> tuple[Any, Any, list[int]]:
    """Return makers of a square product and of a copy, and the sizes to try for the product."""
    try:
        import torch
    except ImportError:
        return _numpy_product(dtype), _numpy_copy, [128, 256, 512, 1024]
    kind = getattr(torch, dtype)

    def finish() -> None:
        if device != "cpu":
            torch.accelerator.synchronize()

    def product(size: int) -> Callable[[], Any]:
        left = torch.randn(size, size, device=device).to(kind)
        out = torch.empty_like(left)

        def call() -> None:
            torch.mm(left, left, out=out)
            finish()

        return call

    def copy(size: int) -> Callable[[], Any]:
        source = torch.ones(size, dtype=torch.int8, device=device)
        target = torch.empty_like(source)

        def call() -> None:
            target.copy_(source)
            finish()

        return call

    return product, copy, [128, 256, 512, 1024, *([4096, 8192] if device != "cpu" else [])]


def _numpy_product(dtype: str) -> Callable[[int], Callable[[], Any]]:
    if dtype == "bfloat16":
        dtype = "float32"

    def product(size: int) -> Callable[[], Any]:
        left = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
        out = np.empty_like(left)
        return lambda: np.matmul(left, left, out=out)

    return product


def _numpy_copy(size: int) -> Callable[[], Any]:
    source, target = np.ones(size, np.int8), np.zeros(size, np.int8)
    return lambda: np.copyto(target, source)


def _datasheet(device: str) -> str | None:
    if device != "cuda":
        return None
    import torch

    sheet = datasheet_of(torch.cuda.get_device_name())
    return None if sheet is None else sheet.words
