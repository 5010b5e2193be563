"""Ring attention over torch.distributed: for sequences that are too long for one device.

Every process keeps its own share of the queries; shares of keys and values go round the ring, one
neighbour at a time, while the share at hand is computed with. What a query has seen of the keys
so far is its largest score, the sum of exponentials and the weighted values; two such are merged
exactly, so no process ever holds more scores than those of one tile.
"""

from __future__ import annotations

import functools
from itertools import product
from typing import TYPE_CHECKING, Final

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.own_causal import mask_is_the_requests
from attnpanel.kernels.torch_inputs import (
    DEVICES,
    DTYPES,
    cannot_run,
    torch_inputs,
)
from attnpanel.kernels.torch_ring_rule import BlockRule
from attnpanel.kernels.torch_seen import SeenKeys, products

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch.distributed import ProcessGroup, Work

    from attnpanel.kernels.request import Inputs, Request

# As in the NumPy kernel: scores of a tile and of all heads stay in the caches.
TILE_ROWS: Final = 128
TILE_KEYS: Final = 512


def share(length: int, rank: int, size: int) -> range:
    """Return the positions that a process holds: neighbours, the first shares one longer.

    Examples
    --------
    >>> [list(share(5, rank, 2)) for rank in range(2)]
    [[0, 1, 2], [3, 4]]
    """
    least, longer = divmod(length, size)
    start = rank * least + min(rank, longer)
    return range(start, start + least + (rank < longer))


def ring_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    query_len: int,
    key_len: int,
    scale: float,
    rule: BlockRule | None = None,
    group: ProcessGroup | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of this process' queries over the keys of all processes.

    Every process of the group calls it with its own shares. Without torch.distributed it is a
    ring of one.

    Parameters
    ----------
    query : tensor of shape (B, H, t, D)
        The positions ``share(query_len, rank, size)``.
    key : tensor of shape (B, Hkv, s, D)
    value : tensor of shape (B, Hkv, s, Dv)
        The positions ``share(key_len, rank, size)``.
    query_len, key_len : int
        T and S of the whole.
    scale : float
        Multiplies ``query @ key.T``, dimensionless.
    rule : BlockRule, optional
        The mask, the bias and the temperature; tiles that a causal mask hides are skipped.
    group : ProcessGroup, optional
        Defaults to all processes.

    Returns
    -------
    output : tensor of shape (B, H, t, Dv)
        In the query's dtype; 0 for a query that may see no key.
    logsumexp : tensor of shape (B, H, t)
        In nats, in float32 or float64; -inf for a query that may see no key.

    References
    ----------
    Liu, Zaharia and Abbeel, "Ring Attention with Blockwise Transformers for Near-Infinite
    Context", 2023; Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
    """
    rank, size = _place(group)
    queries = share(query_len, rank, size)
    seen = SeenKeys.nothing(query, value.shape[-1])
    held = (key.contiguous(), value.contiguous())
    for step in range(size):
        owner = (rank - step) % size
        coming, works = _pass_on(held, key_len, owner, rank, size, group)
        keys = share(key_len, owner, size)
        for rows, columns in product(_tiles(queries, TILE_ROWS), _tiles(keys, TILE_KEYS)):
            _see(seen, query, held, (queries, keys), (rows, columns), scale, rule)
        for one in works:
            one.wait()
        held = coming
    return seen.output().to(query.dtype), seen.logsumexp()


def _see(
    seen: SeenKeys,
    query: torch.Tensor,
    held: tuple[torch.Tensor, torch.Tensor],
    shares: tuple[range, range],
    tile: tuple[range, range],
    scale: float,
    rule: BlockRule | None,
) -> None:
    """Let the queries of one tile see its keys."""
    if rule is not None and rule.hides_all(*tile):
        return
    (first_row, rows), (first_key, keys) = (
        (part.start - whole.start, len(part)) for whole, part in zip(shares, tile, strict=True)
    )
    key, value = (x.narrow(2, first_key, keys) for x in held)
    scores = products(query.narrow(2, first_row, rows), key, seen.top.dtype).mul_(scale)
    ruled = scores if rule is None else rule.applied(scores, *tile)
    seen.rows(first_row, rows).add(ruled, value)


def _tiles(positions: range, size: int) -> list[range]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def _place(group: ProcessGroup | None) -> tuple[int, int]:
    """Return this process' rank and the number of processes."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(group), dist.get_world_size(group)


def _pass_on(
    held: tuple[torch.Tensor, torch.Tensor],
    key_len: int,
    owner: int,
    rank: int,
    size: int,
    group: ProcessGroup | None,
) -> tuple[tuple[torch.Tensor, torch.Tensor], list[Work]]:
    """Start sending keys and values to the next process and receiving those of the one before."""
    import torch.distributed as dist

    if (owner - 1 - rank) % size == 0:  # the next share is our own: the round is complete
        return held, []
    arriving = len(share(key_len, (owner - 1) % size, size))
    key, value = (x.new_empty((*x.shape[:2], arriving, x.shape[3])) for x in held)
    # Empty shares, where there are more processes than keys, are not sent.
    sent = [
        dist.P2POp(dist.isend, x, group=group, group_peer=(rank + 1) % size)
        for x in held
        if x.numel()
    ]
    received = [
        dist.P2POp(dist.irecv, x, group=group, group_peer=(rank - 1) % size)
        for x in (key, value)
        if x.numel()
    ]
    works = dist.batch_isend_irecv(sent + received) if sent + received else []
    return (key, value), works


def _gathered(local: torch.Tensor, length: int) -> torch.Tensor:
    """Put the shares of all processes together along the third axis, in every process."""
    import torch
    import torch.distributed as dist

    rank, size = _place(None)
    if size == 1:
        return local
    parts = []
    for owner in range(size):
        shape = (*local.shape[:2], len(share(length, owner, size)), *local.shape[3:])
        part = local.contiguous() if owner == rank else local.new_empty(shape)
        if part.numel():
            dist.broadcast(part, src=owner)
        parts.append(part)
    return torch.cat(parts, dim=2)


def _prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    tensors = torch_inputs(inputs, request)
    own_mask = request.mask != "none" and mask_is_the_requests(inputs, request)
    rule = BlockRule(request, tensors, own_mask=own_mask)
    rank, size = _place(None)
    queries = share(request.query_len, rank, size)
    keys = share(request.key_len, rank, size)
    query = tensors.query.narrow(2, queries.start, len(queries))
    key, value = (x.narrow(2, keys.start, len(keys)) for x in (tensors.key, tensors.value))

    def run() -> RawResult:
        output, logsumexp = ring_attention(
            query,
            key,
            value,
            query_len=request.query_len,
            key_len=request.key_len,
            scale=request.score_scale,
            rule=rule,
        )
        return RawResult(
            _gathered(output, request.query_len),
            logsumexp=_gathered(logsumexp, request.query_len),
        )

    return run


RING = Implementation(
    name="torch-ring",
    framework="torch",
    source="Liu, Zaharia and Abbeel, 2023, over torch.distributed",
    devices=DEVICES,
    dtypes=DTYPES,
    returns=frozenset({"output", "logsumexp"}),
    empty_rows="zero",
    causal_align=None,
    scores_dtype="float32",
    compiles=False,
    limits=(
        "Sequences are shared by the processes of torch.distributed (gloo, NCCL; torchrun -m "
        "bench ring); one process alone is a ring of one. Causal "
        "shares are not balanced: the last process computes most. Its time has the gathering of "
        "the output by every process in it."
    ),
    unsupported=functools.partial(cannot_run, "torch-ring"),
    prepare=_prepare,
)
