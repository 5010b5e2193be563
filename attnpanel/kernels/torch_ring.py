"""Ring attention over torch.distributed: for sequences that are too long for one device.

Every process keeps its own share of the queries; shares of keys and values go round the ring, one
neighbour at a time, while the share at hand is computed with. What a query has seen of the keys
so far is its largest score, the sum of exponentials and the weighted values; two such are merged
exactly, so no process ever holds more than a T/n × S/n block of scores.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.torch_inputs import (
    DEVICES,
    DTYPES,
    cannot_run,
    mask_is_the_requests,
    mask_rule,
    torch_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch.distributed import ProcessGroup, Work

    from attnpanel.kernels.request import Inputs, Request
    from attnpanel.kernels.torch_inputs import TorchInputs

    # Scores (B, H, t, s) of these query and key positions -> what the softmax takes, or None
    # where none of the pairs may attend.
    Rule = Callable[[torch.Tensor, range, range], torch.Tensor | None]


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
    rule: Rule | None = None,
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
    rule : function of scores (B, H, t, s), query positions and key positions, optional
        Returns the scores that the softmax takes, -inf where a query may not attend; None where
        that is so for all of them, and their block is then skipped.
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
    import torch

    rank, size = _place(group)
    work = torch.promote_types(query.dtype, torch.float32)
    queries = share(query_len, rank, size)
    rows = (query.shape[0], query.shape[1], query.shape[2], 1)
    top = query.new_full(rows, -math.inf, dtype=work)
    total = query.new_zeros(rows, dtype=work)
    mixed = query.new_zeros((*rows[:3], value.shape[-1]), dtype=work)

    held = (key.contiguous(), value.contiguous())
    for step in range(size):
        owner = (rank - step) % size
        coming, works = _pass_on(held, key_len, owner, rank, size, group)
        keys = share(key_len, owner, size)
        scores = _products(query, held[0], work) * scale if keys and queries else None
        if scores is not None and rule is not None:
            scores = rule(scores, queries, keys)
        if scores is not None:
            highest = torch.maximum(top, scores.amax(-1, keepdim=True))
            # -inf - -inf is nan: a row that has seen nothing yet is shifted by 0.
            shift = highest.masked_fill(highest == -math.inf, 0.0)
            weights = (scores - shift).exp()
            shrunk = (top - shift).exp()
            total = total * shrunk + weights.sum(-1, keepdim=True)
            mixed = mixed * shrunk + _mix(weights, held[1])
            top = highest
        for one in works:
            one.wait()
        held = coming
    output = mixed / total.masked_fill(total == 0, 1.0)
    return output.to(query.dtype), (top + total.log()).squeeze(-1)


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


def _products(query: torch.Tensor, key: torch.Tensor, work: torch.dtype) -> torch.Tensor:
    """Every query's product with every key, (B, H, t, s); a key head serves a group of heads."""
    grouped = _in_groups(query.to(work), key.shape[1])
    return (grouped @ key.to(work).mT.unsqueeze(2)).flatten(1, 2)


def _mix(weights: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    grouped = _in_groups(weights, value.shape[1])
    return (grouped @ value.to(weights.dtype).unsqueeze(2)).flatten(1, 2)


def _in_groups(x: torch.Tensor, kv_heads: int) -> torch.Tensor:
    """Heads (B, H, …) by the key head that they read: (B, Hkv, H / Hkv, …)."""
    return x.reshape(x.shape[0], kv_heads, -1, *x.shape[2:])


def request_rule(request: Request, tensors: TorchInputs, *, own_mask: bool) -> Rule:
    """The request's bias, temperature and mask, for the block of scores at hand.

    Parameters
    ----------
    request : Request
    tensors : TorchInputs
        Its bias and mask, of all positions.
    own_mask : bool
        Whether the mask is the request's own: a causal one or a window is then made from
        positions, block by block.
    """
    import torch

    by_position = own_mask and request.mask in {"causal", "window"}
    place = mask_rule(request, tensors.query.device) if by_position else None

    def seen(queries: range, keys: range) -> torch.Tensor | None:
        if place is not None:
            device = tensors.query.device
            i = torch.arange(queries.start, queries.stop, device=device).unsqueeze(1)
            j = torch.arange(keys.start, keys.stop, device=device)
            return place(None, None, i, j)
        if tensors.mask is None:
            return None
        shape = (*tensors.mask.shape[:2], request.query_len, request.key_len)
        return _block(tensors.mask.expand(shape), queries, keys)

    def rule(scores: torch.Tensor, queries: range, keys: range) -> torch.Tensor | None:
        if own_mask and _all_in_the_future(request, queries, keys):
            return None
        if tensors.bias is not None:
            scores = scores + _block(tensors.bias, queries, keys)
        scores = scores / request.temperature
        visible = seen(queries, keys)
        return scores if visible is None else scores.masked_fill(visible.logical_not(), -math.inf)

    return rule


def _block(whole: torch.Tensor, queries: range, keys: range) -> torch.Tensor:
    rows = whole.narrow(2, queries.start, len(queries))
    return rows.narrow(3, keys.start, len(keys))


def _all_in_the_future(request: Request, queries: range, keys: range) -> bool:
    first = request.key_len - request.query_len if request.align == "bottom_right" else 0
    return request.mask == "causal" and keys.start > queries.stop - 1 + first


def _gathered(local: torch.Tensor, length: int, group: ProcessGroup | None = None) -> Any:
    """Put the shares of all processes together along the third axis, in every process."""
    import torch
    import torch.distributed as dist

    rank, size = _place(group)
    if size == 1:
        return local
    parts = []
    for owner in range(size):
        shape = (*local.shape[:2], len(share(length, owner, size)), *local.shape[3:])
        part = local.contiguous() if owner == rank else local.new_empty(shape)
        if part.numel():
            dist.broadcast(part, group=group, group_src=owner)
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
    rule = request_rule(request, tensors, own_mask=own_mask)
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
        "bench ring); one process alone is a ring of one, and holds all T × S weights. Causal "
        "shares are not balanced: the last process computes most. Its time has the gathering of "
        "the output by every process in it."
    ),
    unsupported=functools.partial(cannot_run, "torch-ring"),
    prepare=_prepare,
)
