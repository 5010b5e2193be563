"""Attention and its gradients as Triton kernels, with an online softmax.

:mod:`attnpanel.kernels.triton_.flash` imports this module, since Triton decides when a kernel is
decorated whether it is compiled or interpreted. Arrays are contiguous, (B, H, T, D) as everywhere,
but for the mask, which has strides. Programs share no sums, so each result is the same every time.

References
----------
Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018.
Dao, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning", 2023,
algorithms 1 and 2.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Of `tl.max` and `tl.sum`, which are kernels themselves: they can't be interpreted where Triton was
# imported to compile before, as torch.compile does.
larger = tl.standard._elementwise_max  # noqa: SLF001
added = tl.standard._sum_combine  # noqa: SLF001


@triton.jit
def _load_rows(matrix, rows, present, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    """Load rows of a matrix of this width; absent ones and columns beyond it are 0."""
    columns = tl.arange(0, BLOCK_WIDTH)
    return tl.load(
        matrix + rows[:, None] * WIDTH + columns[None, :],
        mask=present[:, None] & (columns < WIDTH)[None, :],
        other=0.0,
    )


@triton.jit
def _store_rows(matrix, rows, present, values, WIDTH: tl.constexpr, BLOCK_WIDTH: tl.constexpr):
    columns = tl.arange(0, BLOCK_WIDTH)
    tl.store(
        matrix + rows[:, None] * WIDTH + columns[None, :],
        values.to(matrix.dtype.element_ty),
        mask=present[:, None] & (columns < WIDTH)[None, :],
    )


@triton.jit
def _visible(
    mask, rows, keys, query_len, key_len, mask_query, mask_key,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Which queries see which keys, by the mask of one head, its causal option and the lengths."""
    visible = (rows < query_len)[:, None] & (keys < key_len)[None, :]
    if CAUSAL:
        visible = visible & (keys[None, :] <= rows[:, None])
    if MASKED:
        places = mask + rows[:, None] * mask_query + keys[None, :] * mask_key
        visible = visible & (tl.load(places, mask=visible, other=0) != 0)
    return visible


@triton.jit
def _scores(
    query, key, bias, rows, keys, visible, key_len, scale, inverse_temperature,
    BIASED: tl.constexpr,
):  # fmt: skip
    """Scores over temperature in float32, -inf where a key is hidden."""
    scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
    if BIASED:
        places = bias + rows[:, None].to(tl.int64) * key_len + keys[None, :]
        biases = tl.load(places, mask=visible, other=0.0)
        scores = scores + biases.to(tl.float32) * inverse_temperature
    return tl.where(visible, scores, float("-inf"))


@triton.jit
def _weights(scores, visible, logsumexp):
    """Weights by a row's log-sum-exp, which is -inf where it sees no key."""
    shift = tl.where(logsumexp == float("-inf"), 0.0, logsumexp)
    return tl.where(visible, tl.exp(scores - shift[:, None]), 0.0)


@triton.jit
def forward_kernel(
    query, key, value, mask, bias, output, logsumexp,
    scale, inverse_temperature, heads, group, query_len, key_len,
    mask_batch, mask_head, mask_query, mask_key,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK: tl.constexpr,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """Compute a block of queries of one head; grid (blocks of T, B * H)."""
    block = tl.program_id(0)
    index = tl.program_id(1).to(tl.int64)
    batch, head = index // heads, index % heads
    rows = block * BLOCK + tl.arange(0, BLOCK)
    key += index // group * key_len * D
    value += index // group * key_len * DV
    mask += batch * mask_batch + head * mask_head
    bias += head * query_len * key_len
    q = _load_rows(query + index * query_len * D, rows, rows < query_len, D, BLOCK_D)
    peak = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.full([BLOCK], 0.0, tl.float32)
    summed = tl.full([BLOCK, BLOCK_DV], 0.0, tl.float32)
    end = key_len
    if CAUSAL:
        end = tl.minimum(key_len, (block + 1) * BLOCK)
    for start in range(0, end, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        visible = _visible(
            mask, rows, keys, query_len, key_len, mask_query, mask_key, CAUSAL, MASKED
        )
        # A weight of 0 times nan is nan: what no row of the block sees is not read.
        seen = tl.reduce(visible.to(tl.int32), 0, larger) > 0
        k = _load_rows(key, keys, seen, D, BLOCK_D)
        v = _load_rows(value, keys, seen, DV, BLOCK_DV)
        scores = _scores(
            q, k, bias, rows, keys, visible, key_len, scale, inverse_temperature, BIASED
        )
        higher = tl.maximum(peak, tl.reduce(scores, 1, larger))
        # -inf - -inf is nan: a row that has seen no key yet is shifted by 0.
        shift = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(scores - shift[:, None])
        kept = tl.exp(peak - shift)
        total = total * kept + tl.reduce(weights, 1, added)
        product = tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        summed = summed * kept[:, None] + product
        peak = higher
    divisor = tl.where(total == 0.0, 1.0, total)
    _store_rows(
        output + index * query_len * DV,
        rows,
        rows < query_len,
        summed / divisor[:, None],
        DV,
        BLOCK_DV,
    )
    # A row without keys keeps its peak of -inf.
    tl.store(logsumexp + index * query_len + rows, peak + tl.log(divisor), mask=rows < query_len)


@triton.jit
def query_gradient_kernel(
    query, key, value, mask, bias, output_gradient, logsumexp, delta, query_gradient,
    scale, inverse_temperature, heads, group, query_len, key_len,
    mask_batch, mask_head, mask_query, mask_key,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK: tl.constexpr,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """Compute dQ of a block of queries of one head; grid (blocks of T, B * H)."""
    block = tl.program_id(0)
    index = tl.program_id(1).to(tl.int64)
    batch, head = index // heads, index % heads
    rows = block * BLOCK + tl.arange(0, BLOCK)
    inside = rows < query_len
    key += index // group * key_len * D
    value += index // group * key_len * DV
    mask += batch * mask_batch + head * mask_head
    bias += head * query_len * key_len
    q = _load_rows(query + index * query_len * D, rows, inside, D, BLOCK_D)
    given = _load_rows(output_gradient + index * query_len * DV, rows, inside, DV, BLOCK_DV)
    lse = tl.load(logsumexp + index * query_len + rows, mask=inside, other=float("-inf"))
    mean = tl.load(delta + index * query_len + rows, mask=inside, other=0.0)
    summed = tl.full([BLOCK, BLOCK_D], 0.0, tl.float32)
    end = key_len
    if CAUSAL:
        end = tl.minimum(key_len, (block + 1) * BLOCK)
    for start in range(0, end, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        visible = _visible(
            mask, rows, keys, query_len, key_len, mask_query, mask_key, CAUSAL, MASKED
        )
        seen = tl.reduce(visible.to(tl.int32), 0, larger) > 0
        k = _load_rows(key, keys, seen, D, BLOCK_D)
        v = _load_rows(value, keys, seen, DV, BLOCK_DV)
        scores = _scores(
            q, k, bias, rows, keys, visible, key_len, scale, inverse_temperature, BIASED
        )
        of_weights = tl.dot(given, tl.trans(v), input_precision="ieee")
        of_scores = _weights(scores, visible, lse) * (of_weights - mean[:, None])
        summed += tl.dot(of_scores.to(k.dtype), k, input_precision="ieee")
    _store_rows(query_gradient + index * query_len * D, rows, inside, summed * scale, D, BLOCK_D)


@triton.jit
def key_value_gradient_kernel(
    query, key, value, mask, bias, output_gradient, logsumexp, delta, key_gradient, value_gradient,
    scale, inverse_temperature, heads, group, query_len, key_len,
    mask_batch, mask_head, mask_query, mask_key,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK: tl.constexpr,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """Compute dK and dV of a block of keys of one key head; grid (blocks of S, B * Hkv)."""
    block = tl.program_id(0)
    kv_index = tl.program_id(1).to(tl.int64)
    keys = block * BLOCK + tl.arange(0, BLOCK)
    k = _load_rows(key + kv_index * key_len * D, keys, keys < key_len, D, BLOCK_D)
    v = _load_rows(value + kv_index * key_len * DV, keys, keys < key_len, DV, BLOCK_DV)
    of_key = tl.full([BLOCK, BLOCK_D], 0.0, tl.float32)
    of_value = tl.full([BLOCK, BLOCK_DV], 0.0, tl.float32)
    first = 0
    if CAUSAL:
        first = block * BLOCK
    for member in range(group):
        index = kv_index * group + member
        batch, head = index // heads, index % heads
        mask_of = mask + batch * mask_batch + head * mask_head
        bias_of = bias + head * query_len * key_len
        for start in range(first, query_len, BLOCK):
            rows = start + tl.arange(0, BLOCK)
            inside = rows < query_len
            q = _load_rows(query + index * query_len * D, rows, inside, D, BLOCK_D)
            given = _load_rows(output_gradient + index * query_len * DV, rows, inside, DV, BLOCK_DV)
            lse = tl.load(logsumexp + index * query_len + rows, mask=inside, other=float("-inf"))
            mean = tl.load(delta + index * query_len + rows, mask=inside, other=0.0)
            visible = _visible(
                mask_of, rows, keys, query_len, key_len, mask_query, mask_key, CAUSAL, MASKED
            )
            scores = _scores(
                q, k, bias_of, rows, keys, visible, key_len, scale, inverse_temperature, BIASED
            )
            weights = _weights(scores, visible, lse)
            of_value += tl.dot(tl.trans(weights.to(given.dtype)), given, input_precision="ieee")
            of_weights = tl.dot(given, tl.trans(v), input_precision="ieee")
            # Values of hidden keys may be nan, which a weight of 0 keeps.
            of_scores = tl.where(visible, weights * (of_weights - mean[:, None]), 0.0)
            of_key += tl.dot(tl.trans(of_scores.to(q.dtype)), q, input_precision="ieee")
    _store_rows(
        key_gradient + kv_index * key_len * D, keys, keys < key_len, of_key * scale, D, BLOCK_D
    )
    _store_rows(
        value_gradient + kv_index * key_len * DV, keys, keys < key_len, of_value, DV, BLOCK_DV
    )


@triton.jit
def bias_gradient_kernel(
    query, key, value, mask, bias, output_gradient, logsumexp, delta, bias_gradient,
    scale, inverse_temperature, heads, group, query_len, key_len,
    mask_batch, mask_head, mask_query, mask_key, batches,
    D: tl.constexpr, DV: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_DV: tl.constexpr,
    BLOCK: tl.constexpr,
    CAUSAL: tl.constexpr, MASKED: tl.constexpr, BIASED: tl.constexpr,
):  # fmt: skip
    """Sum dS over the batch for one block of a head; grid (blocks of T, blocks of S, H)."""
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    keys = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    head = tl.program_id(2).to(tl.int64)
    inside = rows < query_len
    bias += head * query_len * key_len
    summed = tl.full([BLOCK, BLOCK], 0.0, tl.float32)
    for batch in range(batches):
        index = batch * heads + head
        visible = _visible(
            mask + batch * mask_batch + head * mask_head,
            rows,
            keys,
            query_len,
            key_len,
            mask_query,
            mask_key,
            CAUSAL,
            MASKED,
        )
        q = _load_rows(query + index * query_len * D, rows, inside, D, BLOCK_D)
        given = _load_rows(output_gradient + index * query_len * DV, rows, inside, DV, BLOCK_DV)
        lse = tl.load(logsumexp + index * query_len + rows, mask=inside, other=float("-inf"))
        mean = tl.load(delta + index * query_len + rows, mask=inside, other=0.0)
        kv_index = index // group
        k = _load_rows(key + kv_index * key_len * D, keys, keys < key_len, D, BLOCK_D)
        v = _load_rows(value + kv_index * key_len * DV, keys, keys < key_len, DV, BLOCK_DV)
        scores = _scores(
            q, k, bias, rows, keys, visible, key_len, scale, inverse_temperature, BIASED
        )
        of_weights = tl.dot(given, tl.trans(v), input_precision="ieee")
        weights = _weights(scores, visible, lse)
        summed += tl.where(visible, weights * (of_weights - mean[:, None]), 0.0)
    places = bias_gradient + (head * query_len + rows[:, None]) * key_len + keys[None, :]
    tl.store(
        places,
        (summed * inverse_temperature).to(bias_gradient.dtype.element_ty),
        mask=inside[:, None] & (keys < key_len)[None, :],
    )
