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

MORE = {
    **{name: given(when, value=without_last_value) for name, when in SPECIALISED.items()},
    **VERY_LONG,
    **EXTREME,
    **MEMORY,
    **MASKS,
}
