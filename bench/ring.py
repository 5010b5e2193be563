"""Ring attention over the processes that torchrun started: certified, then timed on long sequences.

``torchrun --nproc-per-node 2 -m bench ring --T 16384 --mask causal``: every process draws its own
share of the sequence, so none ever holds the whole. Without torchrun it is a ring of one.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, get_args

from attnpanel.kernels.request import DType, Request
from attnpanel.kernels.torch_inputs import TorchInputs, torch_device
from attnpanel.kernels.torch_ring import RING, ring_attention, share
from attnpanel.kernels.torch_ring_rule import BlockRule
from bench.agreement import certify
from bench.cases import Case
from bench.units import PASSING_UNITS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    import torch

    from bench.bench_run import Agreement

# The certificate needs the whole on every process, in float64: a short sequence of odd length.
CERTIFIED_LEN = 257


@dataclass(frozen=True)
class RingTiming:
    """How long a ring took, and what one of its processes held.

    Attributes
    ----------
    agreement : Agreement
        Of the same ring on a shorter sequence.
    processes : int
    backend : str
        torch.distributed's; empty for a ring of one without it.
    wall_s : tuple of float
        Seconds of each call on the slowest process; the first one is left out.
    held_bytes : int
        Queries, keys, values and output of the largest share.
    """

    agreement: Agreement
    processes: int
    backend: str
    wall_s: tuple[float, ...]
    held_bytes: int


def measure_ring(request: Request, rounds: int) -> RingTiming:
    """Certify and time the ring of all processes; each of them calls it.

    Parameters
    ----------
    request : Request
        With the mask ``"none"`` or ``"causal"``, and no bias.
    rounds : int
        Calls that are timed.
    """
    import torch.distributed as dist

    if request.mask not in {"none", "causal"} or request.bias:
        raise ValueError(
            "a ring is timed with the mask none or causal and no bias; "
            f"got mask {request.mask!r}, bias {request.bias}"
        )
    with _ring(request.device) as (rank, size):
        shorter = {name: min(CERTIFIED_LEN, getattr(request, name)) for name in LENGTHS}
        agreement = certify(RING, Case(replace(request, **shorter)))
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
    """Join the processes that torchrun started: this one's rank and their number."""
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
    """Seconds of one call, on the slowest process."""
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
    """Add what `python -m bench ring` takes."""
    parser.add_argument("--T", type=int, default=4096, metavar="N", help="tokens in all (4096)")
    parser.add_argument("--heads", type=int, default=8, metavar="H", help="query heads (8)")
    parser.add_argument("--kv-heads", type=int, metavar="H", help="key heads (as many)")
    parser.add_argument("--head-dim", type=int, default=64, metavar="D", help="channels (64)")
    parser.add_argument("--mask", choices=("none", "causal"), default="causal")
    parser.add_argument("--dtype", choices=get_args(DType), default="float32")
    parser.add_argument("--device", default="cpu", metavar="TYPE", help="cpu, cuda, xpu (cpu)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="calls timed (5)")


def ring_command(options: argparse.Namespace) -> None:
    """Carry out `python -m bench ring`; the first process prints."""
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
        print(ring_words(Case(request).name, timing))


def ring_words(case: str, timing: RingTiming) -> str:
    """What was found, in two lines."""
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
