"""Certify and time ring attention over the processes started by torchrun.

``torchrun --nproc-per-node 2 -m attnpanel bench ring --T 16384 --mask causal``: each process
generates its own share of the sequence, so none holds all of it. Without torchrun it is a ring of
one process.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.certificate import certify
from attnpanel.bench.certify.error_units import PASSING_UNITS
from attnpanel.kernels.request import DType, Request
from attnpanel.kernels.torch_.inputs import TorchInputs, torch_device
from attnpanel.kernels.torch_.ring import RING, ring_attention, share
from attnpanel.kernels.torch_.ring_schedule import BlockRule

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    import torch

    from attnpanel.bench.run.records import Agreement

# Certificates need the whole sequence on every process in float64: a short, odd length.
CERTIFIED_LEN = 257


@dataclass(frozen=True)
class RingTiming:
    """Timing of a ring and the memory of one of its processes.

    Attributes
    ----------
    agreement : Agreement
        Certificate of the same ring on a shorter sequence.
    processes : int
    backend : str
        Backend of torch.distributed; empty for a ring of one process.
    wall_s : tuple of float
        Seconds of each call on the slowest process, without the first call.
    held_bytes : int
        Bytes of queries, keys, values and output of the largest share.
    """

    agreement: Agreement
    processes: int
    backend: str
    wall_s: tuple[float, ...]
    held_bytes: int


def measure_ring(request: Request, rounds: int) -> RingTiming:
    """Certify and time the ring; every process must call it.

    Parameters
    ----------
    request : Request
        With the mask ``"none"`` or ``"causal"``, and no bias.
    rounds : int
        Number of timed calls.
    """
    import torch.distributed as dist

    if request.mask not in {"none", "causal"} or request.bias:
        raise ValueError(
            "a ring is timed with the mask none or causal and no bias; "
            f"got mask {request.mask!r}, bias {request.bias}"
        )
    with _ring(request.device) as (rank, size):
        shorter = (min(CERTIFIED_LEN, getattr(request, name)) for name in LENGTHS)
        agreement = certify(RING, Case(request.shortened(*shorter)))
        wall_s: list[float] = []
        if agreement.verdict == "pass":
            call, held = _local_call(request, rank, size)
            wall_s = [_seconds(call, request.device) for _ in range(rounds + 1)][1:]
        else:
            held = 0
        backend = str(dist.get_backend()) if size > 1 else ""
        return RingTiming(agreement, size, backend, tuple(wall_s), held)


LENGTHS = ("query_len", "key_len")


@contextmanager
def _ring(device: str) -> Iterator[tuple[int, int]]:
    """Join torchrun's process group; yield this process's rank and the number of processes."""
    import torch
    import torch.distributed as dist

    if "WORLD_SIZE" not in os.environ:
        yield 0, 1
        return
    if device != "cpu":
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(dist.get_default_backend_for_device(device))
    try:
        yield dist.get_rank(), dist.get_world_size()
    finally:
        dist.destroy_process_group()


def _local_call(request: Request, rank: int, size: int) -> tuple[Callable[[], object], int]:
    import torch

    device = torch_device(request)
    generator = torch.Generator(device).manual_seed(rank)

    def normal(heads: int, length: int, channels: int) -> torch.Tensor:
        shape = (request.batch, heads, len(share(length, rank, size)), channels)
        drawn = torch.randn(shape, generator=generator, device=device)
        return drawn.to(getattr(torch, request.dtype))

    query = normal(request.heads, request.query_len, request.head_dim)
    key = normal(request.kv_heads, request.key_len, request.head_dim)
    value = normal(request.kv_heads, request.key_len, request.value_dim)
    whole = TorchInputs(query, key, value, mask=None, bias=None)
    rule = BlockRule(request, whole, own_mask=request.mask != "none")

    def call() -> object:
        return ring_attention(
            query,
            key,
            value,
            query_len=request.query_len,
            key_len=request.key_len,
            scale=request.score_scale,
            rule=rule,
        )

    output = query.numel() // request.head_dim * request.value_dim
    held = query.element_size() * (query.numel() + key.numel() + value.numel() + output)
    return call, held


def _seconds(call: Callable[[], object], device: str) -> float:
    """Return the seconds of one call on the slowest process."""
    import torch
    import torch.distributed as dist

    alone = not (dist.is_available() and dist.is_initialized())
    if not alone:
        dist.barrier()
    started = time.perf_counter()
    call()
    if device != "cpu":
        torch.accelerator.synchronize()
    took = time.perf_counter() - started
    if alone:
        return took
    slowest = torch.tensor(took, dtype=torch.float64 if device != "mps" else torch.float32)
    slowest = slowest.to(device)
    dist.all_reduce(slowest, dist.ReduceOp.MAX)
    return float(slowest)


def ring_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench ring`."""
    parser.add_argument("--T", type=int, default=4096, metavar="N", help="tokens in all (4096)")
    parser.add_argument("--heads", type=int, default=8, metavar="H", help="query heads (8)")
    parser.add_argument("--kv-heads", type=int, metavar="H", help="key heads (as many)")
    parser.add_argument("--head-dim", type=int, default=64, metavar="D", help="channels (64)")
    parser.add_argument("--mask", choices=("none", "causal"), default="causal")
    parser.add_argument("--dtype", choices=get_args(DType), default="float32")
    parser.add_argument("--device", default="cpu", metavar="TYPE", help="cpu, cuda, xpu (cpu)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="calls timed (5)")


def ring_command(options: argparse.Namespace) -> None:
    """Run `python -m bench ring`; the process of rank 0 prints."""
    request = Request(
        batch=1,
        heads=options.heads,
        kv_heads=options.kv_heads or options.heads,
        query_len=options.T,
        key_len=options.T,
        head_dim=options.head_dim,
        value_dim=options.head_dim,
        dtype=options.dtype,
        device=options.device,
        mask=options.mask,
    )
    timing = measure_ring(request, options.rounds)
    if os.environ.get("RANK", "0") == "0":
        print(format_ring(Case(request).name, timing))


def format_ring(case: str, timing: RingTiming) -> str:
    """Format certificate and timing in two lines."""
    ring = "a ring of one process"
    if timing.processes > 1:
        ring = f"a ring of {timing.processes} processes over {timing.backend}"
    agreement = timing.agreement
    if agreement.verdict != "pass":
        return f"{ring}: {agreement.verdict} on {agreement.case}: {'; '.join(agreement.reasons)}"
    median = statistics.median(timing.wall_s)
    return (
        f"{ring}: pass on {agreement.case}, {agreement.max_ratio:.2g} of {PASSING_UNITS:g} units\n"
        f"{case}: median {median:.4g} s of {len(timing.wall_s)} calls "
        f"({min(timing.wall_s):.4g} to {max(timing.wall_s):.4g}); each process holds "
        f"{timing.held_bytes / 2**20:.3g} MiB"
    )
