"""Ring attention over torch.distributed, for sequences too long for one device.

Every process keeps its share of the queries. Shares of keys and values travel round the ring, from
neighbour to neighbour, while the current share is computed. Results are merged by an online
softmax, so a process never holds the scores of more than one tile.
"""

from __future__ import annotations

import functools
from itertools import product
from typing import TYPE_CHECKING, Final

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.native_causal import matches_request_mask
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import (
    DEVICES,
    DTYPES,
    cannot_run,
    torch_inputs,
)
from attnpanel.kernels.torch_.online_softmax import OnlineSoftmaxState, products
from attnpanel.kernels.torch_.ring_schedule import BlockRule

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch.distributed import ProcessGroup, Work

    from attnpanel.kernels.request import Inputs, Request

# Sizes at which the scores of a tile, for all heads, stay in the caches.
TILE_ROWS: Final = 128
TILE_KEYS: Final = 512


def share(length: int, rank: int, size: int) -> range:
    """Return the consecutive positions of a process; the first shares may be one longer.

    Examples
    --------
    >>> [list(share(5, rank, 2)) for rank in range(2)]
    [[0, 1, 2], [3, 4]]
    """
    quotient, remainder = divmod(length, size)
    start = rank * quotient + min(rank, remainder)
    return range(start, start + quotient + (rank < remainder))


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
    """Compute attention of this process' queries over the keys of all processes.

    Every process of the group must call it with its own shares. Without torch.distributed it is a
    ring of one process.

    Parameters
    ----------
    query : tensor of shape (B, H, t, D)
        The positions ``share(query_len, rank, size)``.
    key : tensor of shape (B, Hkv, s, D)
    value : tensor of shape (B, Hkv, s, Dv)
        The positions ``share(key_len, rank, size)``.
    query_len, key_len : int
        T and S of the whole sequences.
    scale : float
        Multiplies ``query @ key.T``, dimensionless.
    rule : BlockRule, optional
        Mask, bias and temperature; tiles that the mask hides are skipped.
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
    rank, size = _rank_and_size(group)
    queries = share(query_len, rank, size)
    state = OnlineSoftmaxState.empty(query, value.shape[-1])
    current = (key.contiguous(), value.contiguous())
    for step in range(size):
        owner = (rank - step) % size
        following, transfers = _start_transfer(current, key_len, owner, rank, size, group)
        keys = share(key_len, owner, size)
        for rows, columns in product(_tiles(queries, TILE_ROWS), _tiles(keys, TILE_KEYS)):
            _add_tile(state, query, current, (queries, keys), (rows, columns), scale, rule)
        for transfer in transfers:
            transfer.wait()
        current = following
    return state.output().to(query.dtype), state.logsumexp()


def _add_tile(
    state: OnlineSoftmaxState,
    query: torch.Tensor,
    current: tuple[torch.Tensor, torch.Tensor],
    shares: tuple[range, range],
    tile: tuple[range, range],
    scale: float,
    rule: BlockRule | None,
) -> None:
    """Merge one tile of queries and keys into the state."""
    if rule is not None and rule.hides_all(*tile):
        return
    (first_row, rows), (first_key, keys) = (
        (part.start - whole.start, len(part)) for whole, part in zip(shares, tile, strict=True)
    )
    key, value = (x.narrow(2, first_key, keys) for x in current)
    scores = products(query.narrow(2, first_row, rows), key, state.row_max.dtype).mul_(scale)
    if rule is not None:
        scores = rule.apply(scores, *tile)
    state.rows(first_row, rows).add(scores, value)


def _tiles(positions: range, size: int) -> list[range]:
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def _rank_and_size(group: ProcessGroup | None) -> tuple[int, int]:
    """Return this process' rank and the number of processes."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(group), dist.get_world_size(group)


def _start_transfer(
    current: tuple[torch.Tensor, torch.Tensor],
    key_len: int,
    owner: int,
    rank: int,
    size: int,
    group: ProcessGroup | None,
) -> tuple[tuple[torch.Tensor, torch.Tensor], list[Work]]:
    """Start sending keys and values to the next process and receiving the previous one's."""
    import torch.distributed as dist

    if (owner - 1 - rank) % size == 0:  # the next share is our own: the round is complete
        return current, []
    length = len(share(key_len, (owner - 1) % size, size))
    key, value = (x.new_empty((*x.shape[:2], length, x.shape[3])) for x in current)
    # Empty shares, which exist if there are more processes than keys, are not sent.
    sends = [
        dist.P2POp(dist.isend, x, group=group, group_peer=(rank + 1) % size)
        for x in current
        if x.numel()
    ]
    receives = [
        dist.P2POp(dist.irecv, x, group=group, group_peer=(rank - 1) % size)
        for x in (key, value)
        if x.numel()
    ]
    transfers = dist.batch_isend_irecv(sends + receives) if sends + receives else []
    return (key, value), transfers


def _gather(local: torch.Tensor, length: int) -> torch.Tensor:
    """Concatenate the shares of all processes along the third axis, in every process."""
    import torch
    import torch.distributed as dist

    rank, size = _rank_and_size(None)
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
    own_mask = request.mask != "none" and matches_request_mask(inputs, request)
    rule = BlockRule(request, tensors, own_mask=own_mask)
    rank, size = _rank_and_size(None)
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
            _gather(output, request.query_len),
            logsumexp=_gather(logsumexp, request.query_len),
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
    weights_dtype="float32",
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
    gradients=by_autograd(_prepare),
)
