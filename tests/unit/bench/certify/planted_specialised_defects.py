"""Wrong attentions of one specialisation, of very long axes, of extreme inputs, and of memory.

As in :mod:`tests.unit.bench.certify.planted_defects`, each with the cases that could find it.
"""

from dataclasses import dataclass, replace

import numpy as np

from attnpanel.kernels.implementation import RawResult
from tests.unit.bench.certify.planted_defects import given, is_small, planted, put, returned
from tests.unit.bench.certify.planted_varied_defects import misread, without_last_value


def grouped(request):
    return request.heads != request.kv_heads


def causal(request, align):
    return request.mask == "causal" and request.align == align


# The last value is lost.
SPECIALISED = {
    **{
        f"{dtype}, D {width}, causal": lambda r, dtype=dtype, width=width: (
            r.dtype == dtype and r.head_dim == width and causal(r, "top_left")
        )
        for width in (80, 96, 128, 192, 256)
        for dtype in ("float16", "bfloat16")
    },
    "bfloat16, D 128, groups, causal chunks": lambda r: (
        r.dtype == "bfloat16" and r.head_dim == 128 and grouped(r) and causal(r, "bottom_right")
    ),
    "float16, D 128, groups, one query": lambda r: (
        r.dtype == "float16" and r.head_dim == 128 and grouped(r) and r.query_len == 1
    ),
    "bfloat16, D 128, one query, S > 512": lambda r: (
        r.dtype == "bfloat16" and r.head_dim == 128 and r.query_len == 1 and r.key_len > 512
    ),
    "bfloat16, groups, causal, S > 1024": lambda r: (
        r.dtype == "bfloat16" and grouped(r) and r.mask == "causal" and r.key_len > 1024
    ),
    "bias, groups, causal, S > 256": lambda r: (
        r.bias and grouped(r) and r.mask == "causal" and r.key_len > 256
    ),
    "groups of 8, S > 512": lambda r: r.heads == 8 * r.kv_heads and r.key_len > 512,
    "D above Dv, one key head, one query": lambda r: (
        r.head_dim > r.value_dim and r.heads > r.kv_heads == 1 and r.query_len == 1
    ),
    "S > 65535": lambda r: r.key_len > 65535,
}


def rows_from(count):
    return returned(lambda r: r.query_len > count, lambda o, _i, _r: put(o, np.s_[:, :, count:], 0))


VERY_LONG = {f"queries from {count} on": rows_from(count) for count in (2048, 4096, 32768, 65535)}


def clipped(name, limit, dtype):
    def change(array, _request):
        return np.clip(array, -limit, limit).astype(array.dtype)

    def prepare(inputs, request, base):
        # At the call, since inputs are read in place.
        def run():
            array = getattr(inputs, name)
            return base(**{name: None if array is None else change(array, request)})()

        return run

    return planted(prepare), lambda r: r.dtype == dtype and r.key_len < 100


def gone_if(test, dtype):
    """Defect: nan where `test(inputs)`."""

    def change(inputs, _request, base):
        call, found = base(), test(inputs)

        def run():
            result = call()
            gone = (result.output * np.nan).astype(result.output.dtype)
            return replace(result, output=gone) if found else result

        return run

    return planted(change), lambda r: r.dtype == dtype and r.key_len < 100


def largest(array):
    return np.abs(array.astype(np.float64)).max()


EXTREME = {
    "float16 values clipped at 10000": clipped("value", 10_000, "float16"),
    "bfloat16 values clipped at 65504": clipped("value", 65504, "bfloat16"),
    "float32 values clipped at 65504": clipped("value", 65504, "float32"),
    "bfloat16 queries clipped at 65504": clipped("query", 65504, "bfloat16"),
    "bias clipped at 16": clipped("bias", 16, "float32"),
    "bfloat16 values below float16's": gone_if(
        lambda i: 0 < largest(i.value[..., 1]) < 6e-8, "bfloat16"
    ),
    "a query of zeros in bfloat16": gone_if(lambda i: (i.query == 0).all(-1).any(), "bfloat16"),
    "a key of zeros in float16": gone_if(lambda i: (i.key == 0).all(-1).any(), "float16"),
    "a head of zero values": gone_if(lambda i: (i.value == 0).all((2, 3)).any(), "float32"),
}


def wrong_at(test):
    def change(_, _request, base):
        call, count = base(), [0]

        def run():
            count[0] += 1
            result = call()
            return replace(result, output=result.output * 0) if test(count[0]) else result

        return run

    return planted(change), is_small


def ring(count):
    """Defect: so many buffers for all outputs, in turn."""
    buffers = {}

    def change(_, request, base):
        call = base()

        def run():
            result = call()
            made = buffers.setdefault(request, [])
            made.insert(0, made.pop() if len(made) == count else np.empty_like(result.output))
            made[0][...] = result.output
            return replace(result, output=made[0])

        return run

    return planted(change), is_small


def logsumexp_if(test):
    def change(inputs, _request, base):
        call = base()

        def run():
            result = call()
            return replace(result, logsumexp=result.logsumexp + test(inputs))

        return run

    return planted(change), is_small


def writes(test, into):
    """Defect: zeros are written into `into(inputs)` where `test(inputs)`."""

    def change(inputs, _request, base):
        call = base()

        def run():
            result = call()
            if test(inputs):
                into(inputs)[...] = 0
            return result

        return run

    return planted(change), lambda r: is_small(r) and r.heads > 1


def kept_by_key_and_value():
    kept = {}

    def change(inputs, request, base):
        call = base()

        def run():
            name = request, inputs.key.tobytes(), inputs.value.tobytes()
            if name not in kept:
                kept[name] = call()
            return replace(kept[name], output=kept[name].output.copy())

        return run

    return planted(change), lambda r: r.mask == "none" and 512 < r.key_len < 700


class OtherArray(np.ndarray):
    """An array that could answer anything."""


@dataclass(frozen=True, eq=False)
class OtherResult(RawResult):
    """A result that could compute when it is looked at."""


def returns(make):
    def change(_, _request, base):
        call = base()
        return lambda: make(call())

    return planted(change), is_small


def is_sliced(inputs):
    return inputs.key.base is not None and inputs.key.base.shape[2:3] > inputs.key.shape[2:3]


MEMORY = {
    "wrong at call 5": wrong_at(lambda n: n == 5),
    "wrong at each 8th call": wrong_at(lambda n: n % 8 == 0),
    "a ring of 32 buffers": ring(32),
    "log-sum-exp of strided keys": logsumexp_if(lambda i: not i.key.flags.c_contiguous),
    "log-sum-exp of large values": logsumexp_if(lambda i: largest(np.nan_to_num(i.value)) > 5e3),
    "strided queries written to": writes(
        lambda i: i.query.flags.writeable and not i.query.flags.c_contiguous, lambda i: i.query
    ),
    "memory after a slice of keys written to": writes(
        is_sliced, lambda i: i.key.base[:, :, i.key.shape[2] + 2 :]
    ),
    "hidden nan written to": (
        writes(lambda i: np.isnan(i.value).any(), lambda i: i.value)[0],
        lambda r: is_small(r) and r.mask == "key_padding",
    ),
    "results kept by key and value": kept_by_key_and_value(),
    "sequences that share keys misread": misread(
        "key", lambda x: x.shape[0] > 1 and x.strides[0] == 0
    ),
    "heads that share a bias misread": (
        misread("bias", lambda x: x is not None and x.shape[0] > 1 and x.strides[0] == 0)[0],
        lambda r: is_small(r) and r.bias and r.batch > 1,
    ),
    "the last axis first misread": misread(
        "key", lambda x: x.flags.f_contiguous and not x.flags.c_contiguous
    ),
    "an array of another class": returns(
        lambda result: replace(result, output=result.output.view(OtherArray))
    ),
    "a result of another class": returns(
        lambda result: OtherResult(result.output, logsumexp=result.logsumexp)
    ),
}


def masked(change):
    """Defect: another mask of one key or more a query; of masks of several keys."""

    def changed(inputs, _request, base):
        return base() if inputs.mask is None else base(mask=change(inputs.mask.copy()))

    return planted(changed), lambda r: is_small(r) and r.mask == "key_padding"


def one_run(mask):
    """See all keys between the first and the last."""
    before = np.logical_or.accumulate(mask, axis=-1)
    return before & np.logical_or.accumulate(mask[..., ::-1], axis=-1)[..., ::-1]


def full_by_its_corners(mask):
    """See all keys of a block of which the corners are seen."""
    for rows in range(0, mask.shape[-2], 16):
        for keys in range(0, mask.shape[-1], 16):
            block = mask[..., rows : rows + 16, keys : keys + 16]
            corners = block[..., :: max(block.shape[-2] - 1, 1), :: max(block.shape[-1] - 1, 1)]
            block |= corners.all(axis=(-2, -1), keepdims=True)
    return mask


MASKS = {
    "a mask read as one run of keys": masked(one_run),
    "blocks of a mask read by their corners": masked(full_by_its_corners),
}


def in_blocks(grow=0.0, below=np.inf, shortest=0):
    """Leave out what a block's maximum says: to rescale, or to look at the block at all.

    Parameters
    ----------
    grow : float
        A maximum that grows by less does not rescale what was summed.
    below : float
        A block with a maximum so far below the one before is skipped.
    shortest : int
        Only with as many keys.
    """

    def output(inputs, request):
        query, key, value = (x.astype(np.float64) for x in (inputs.query, inputs.key, inputs.value))
        group = request.heads // request.kv_heads
        key, value = (np.repeat(x, group, axis=1) for x in (key, value))
        scores = query @ key.swapaxes(-1, -2) * request.score_scale / request.temperature
        if inputs.mask is not None:
            scores = np.where(inputs.mask, scores, -np.inf)
            value = np.where((scores > -np.inf).any(-2)[..., None], value, 0)
        peak, total, summed = -np.inf, 0.0, 0.0
        for at in range(0, request.key_len, 64):
            block = scores[..., at : at + 64]
            highest = block.max(-1, keepdims=True)
            new = np.maximum(peak, highest)
            weights = np.exp(block - new) * (highest > new - below)
            rescale = np.where(new - peak < grow, 1.0, np.exp(peak - new))
            total = total * rescale + weights.sum(-1, keepdims=True)
            summed = summed * rescale + weights @ value[..., at : at + 64, :]
            peak = new
        return (summed / total).astype(inputs.query.dtype)

    def plain(r):
        return r.key_len >= max(shortest, 128) and not r.bias and r.dtype in ("float32", "float64")

    def change(inputs, request, prepare):
        call = prepare()
        seen = inputs.mask is None or inputs.mask[..., :64].any(-1).all()
        if not (plain(request) and seen):
            return call
        return lambda: replace(call(), output=output(inputs, request))

    return planted(change), plain


BLOCKS = {
    "no rescaling below 1e-4": in_blocks(grow=1e-4),
    "no rescaling below 0.01": in_blocks(grow=0.01),
    "blocks 6 nats below skipped, S > 4096": in_blocks(below=6, shortest=4097),
}

MORE = {
    **{name: given(when, value=without_last_value) for name, when in SPECIALISED.items()},
    **VERY_LONG,
    **EXTREME,
    **MEMORY,
    **MASKS,
    **BLOCKS,
}
