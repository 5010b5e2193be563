"""How far from the limit: the arithmetic and the bytes a case needs, and what a machine can do."""

from __future__ import annotations

import re
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.bench_run import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attnpanel.kernels.request import Request

ITEM_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
# Far above the last-level cache of a CPU; each copy reads and writes it once.
COPY_BYTES = 2**27
MOST_QUERIES = 2**26
SAMPLES = 5
SAMPLE_S = 0.05
# What the makers state for dense tensor-core products and for memory, by a part of the name.
DATASHEETS = {
    "H200": "H200 SXM datasheet: 989 TFLOP/s bfloat16 (dense), 67 TFLOP/s float32, 4.8 TB/s",
    "H100 PCIe": "H100 PCIe datasheet: 756 TFLOP/s bfloat16 (dense), 51 TFLOP/s float32, 2.0 TB/s",
    "H100 NVL": "H100 NVL datasheet: 835 TFLOP/s bfloat16 (dense), 60 TFLOP/s float32, 3.9 TB/s",
    "H100": "H100 SXM datasheet: 989 TFLOP/s bfloat16 (dense), 67 TFLOP/s float32, 3.35 TB/s",
    "A100": "A100 SXM datasheet: 312 TFLOP/s bfloat16 (dense), 19.5 TFLOP/s float32, 2.0 TB/s",
    "L4": "L4 datasheet: 121 TFLOP/s bfloat16 (dense), 30.3 TFLOP/s float32, 0.3 TB/s",
    "T4": "T4 datasheet: 65 TFLOP/s float16 (dense), 8.1 TFLOP/s float32, 0.32 TB/s",
}


def flops(request: Request) -> int:
    """Return the floating-point operations of both products over the pairs that are seen.

    ``2·D`` and ``2·Dv`` for each query and key that sees it; the softmax is not counted.
    """
    if request.pad_lens is None:  # all entries see alike, and there may be any number of them
        pairs = request.batch * seen_pairs(request, 0)
    else:
        pairs = sum(seen_pairs(request, entry) for entry in range(request.batch))
    return 2 * pairs * request.heads * (request.head_dim + request.value_dim)


def seen_pairs(request: Request, entry: int) -> int:
    """Return how many pairs of query and key one batch entry sees, without making the mask.

    Raises
    ------
    ValueError
        For more queries than any machine attends from: requests are also read from files.
    """
    queries, keys = request.query_len, request.key_len
    pad_len = request.pad_lens[entry] if request.pad_lens is not None else 0
    if request.mask == "none":
        return queries * keys
    if request.mask == "padding":
        return min(queries, pad_len) * min(keys, pad_len)
    if request.mask == "key_padding":
        return queries * min(keys, pad_len)
    if queries > MOST_QUERIES:
        raise ValueError(f"query_len must be at most {MOST_QUERIES}; got {queries}")
    at = np.arange(queries) + (keys - queries if request.align == "bottom_right" else 0)
    first = 0 if request.window is None else at - request.window + 1
    last = at if request.window is None else at + request.window - 1
    seen = np.minimum(last, keys - 1) - np.maximum(first, 0) + 1
    return int(np.maximum(seen, 0).sum())


def minimal_bytes(request: Request) -> int:
    """Return the bytes of query, key, value, bias and output, each moved once."""
    queries = request.batch * request.heads * request.query_len
    keys = request.batch * request.kv_heads * request.key_len
    both = request.head_dim + request.value_dim
    bias = request.heads * request.query_len * request.key_len * request.bias
    return ITEM_BYTES[request.dtype] * ((queries + keys) * both + bias)


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

    return datasheet_of(torch.cuda.get_device_name())


def datasheet_of(name: str) -> str | None:
    """Return the maker's figures of a GPU by its name; None for one that is not in the table."""
    # Whole words: an L40S is no L4, a GH200 no H200.
    found = (words for part, words in DATASHEETS.items() if re.search(rf"\b{part}\b", name))
    return next(found, None)
