"""Wrong attentions, each with the cases of the certificate that could find it.

Defects of the first tables change what a correct kernel is given or returns: `change(inputs,
request, base)` returns the function to call, where `base(**fields)` prepares the correct kernel
with these fields of the inputs replaced.
"""

import functools
from dataclasses import replace

import numpy as np

from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import RawResult
from tests.unit.bench.certify.simulated_flash import rounded, simulated_flash

BASE = find_implementation("numpy-row-blocked")
BOTH = ("float16", "bfloat16")


def planted(change, base=BASE, **declared):
    """Return the correct kernel with a defect."""

    def prepare(inputs, request, *, threads=1):
        def make(**fields):
            return base.prepare(replace(inputs, **fields), request, threads=threads)

        return change(inputs, request, make)

    return replace(base, name="planted", prepare=prepare, **declared)


def given(when, **makers):
    """Defect: some arrays are replaced by `makers` (array, request) where `when(request)`."""

    def change(inputs, request, base):
        if not when(request):
            return base()

        def run():  # at the call, since inputs are read in place
            arrays = {name: getattr(inputs, name) for name in makers}
            return base(
                **{
                    name: None if array is None else makers[name](array.copy(), request)
                    for name, array in arrays.items()
                }
            )()

        return run

    return planted(change), when


def returned(when, make, base=BASE, **declared):
    """Defect: the output becomes `make(output, inputs, request)` where `when(request)`."""

    def change(inputs, request, prepare):
        call = prepare()

        def run():
            result = call()
            if not when(request):
                return result
            output = make(result.output.astype(np.float32), inputs, request)
            return replace(result, output=output.astype(result.output.dtype))

        return run

    return planted(change, base, **declared), when


def put(array, at, value):
    array[at] = value
    return array


def keys_after(count):
    return lambda key, _: put(key, np.s_[:, :, count:], key[:, :, :1])


def mask_of(make):
    def changed(mask, request):
        lengths = (request.query_len, request.key_len)
        return make(np.broadcast_to(mask, (*mask.shape[:-2], *lengths)).copy())

    return changed


def shifted_right(mask):
    return np.concatenate([mask[..., :1], mask[..., :-1]], axis=-1)


def clipped(output, inputs, request):
    for b, h in np.ndindex(output.shape[:2]):
        query, key = (x[b, h].astype(np.float32) for x in (inputs.query, inputs.key))
        scores = np.clip(query @ key.T, -65504, 65504) * request.score_scale
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        output[b, h] = weights @ inputs.value[b, h].astype(np.float32)
    return output


SIZES = {
    **{
        f"channels beyond {count} ignored": given(
            lambda r, count=count: r.head_dim > count,
            query=lambda q, _, count=count: put(q, np.s_[..., count:], 0),
        )
        for count in (64, 80, 128, 192)
    },
    **{
        f"keys beyond {count} wrong": given(
            lambda r, count=count: r.key_len > count, key=keys_after(count)
        )
        for count in (600, 1024, 2048, 4096, 8192)
    },
    "last value channel of 96 or 192 lost": given(
        lambda r: r.value_dim in (96, 192), value=lambda v, _: put(v, np.s_[..., -1], 0)
    ),
    "values wider than queries cut": given(
        lambda r: r.value_dim > r.head_dim >= 64,
        value=lambda v, r: put(v, np.s_[..., r.head_dim :], 0),
    ),
    "values narrower than 128 queries": given(
        lambda r: r.value_dim < r.head_dim and r.head_dim >= 128,
        value=lambda v, _: put(v, np.s_[..., 0], 0),
    ),
    "keys of the first sequence at T > 128": given(
        lambda r: r.batch > 1 and r.query_len > 128,
        key=lambda k, _: np.repeat(k[:1], len(k), axis=0),
    ),
    "values of the first sequence at S > 1024": given(
        lambda r: r.batch > 1 and r.key_len > 1024,
        value=lambda v, _: np.repeat(v[:1], len(v), axis=0),
    ),
    "heads of a group in another order at S > 512": returned(
        lambda r: r.heads > r.kv_heads > 1 and r.key_len > 512,
        lambda o, _i, _r: put(o, np.s_[:, [1, 2]], o[:, [2, 1]]),
    ),
    "one key head at T > 64": given(
        lambda r: r.kv_heads > 1 and r.query_len > 64,
        key=lambda k, _: np.repeat(k[:, :1], k.shape[1], axis=1),
    ),
    "decoding loses the last key at S > 1024": given(
        lambda r: r.query_len == 1 and r.key_len > 1024,
        value=lambda v, _: put(v, np.s_[:, :, -1], 0),
    ),
    "decoding in 16 bits at S > 512": given(
        lambda r: r.query_len == 1 and r.key_len > 512 and r.dtype == "float16",
        key=keys_after(512),
    ),
    "last query of whole blocks of 64": returned(
        lambda r: r.query_len % 64 == 0, lambda o, _i, _r: put(o, np.s_[:, :, -1], o[:, :, -2])
    ),
    "last query of a block of 64 and one": returned(
        lambda r: r.query_len > 64 and r.query_len % 64 == 1,
        lambda o, _i, _r: put(o, np.s_[:, :, -1], 0),
    ),
    "last query of a block of 64 less one": returned(
        lambda r: r.query_len % 64 == 63, lambda o, _i, _r: put(o, np.s_[:, :, -1], 0)
    ),
    "last block of keys in multiples of 128": given(
        lambda r: r.key_len % 128 == 0, value=lambda v, _: put(v, np.s_[:, :, -128:], 0)
    ),
    "last key of blocks of 128 and one": given(
        lambda r: r.key_len > 128 and r.key_len % 128 == 1,
        value=lambda v, _: put(v, np.s_[:, :, -1], 0),
    ),
    "last key of blocks of 128 less one": given(
        lambda r: r.key_len % 128 == 127, value=lambda v, _: put(v, np.s_[:, :, -1], 0)
    ),
    "bias ignored at S > 512": given(
        lambda r: r.bias and r.key_len > 512, bias=lambda b, _: b * 0
    ),
    "bias of the first head at T > 64": given(
        lambda r: r.bias and r.heads > 1 and r.query_len > 64,
        bias=lambda b, _: np.repeat(b[:1], len(b), axis=0),
    ),
    "bias with negative scale": given(
        lambda r: r.bias and r.score_scale < 0, bias=lambda b, _: -b
    ),
    **{
        f"{kind} one key off at S > 256": given(
            lambda r, kind=kind: r.mask == kind and r.key_len > 256, mask=mask_of(shifted_right)
        )
        for kind in ("causal", "window", "key_padding", "prefix", "documents", "causal_documents")
    },
    "chunks start at the first key at T > 16": given(
        lambda r: r.mask == "causal" and r.align == "bottom_right" and 16 < r.query_len < r.key_len,
        mask=lambda _, r: np.tril(np.ones((r.query_len, r.key_len), bool)),
    ),
    "length of the first sequence at S > 64": given(
        lambda r: r.pad_lens is not None and r.batch > 1 and r.key_len > 64,
        mask=lambda m, _: np.repeat(m[:1], len(m), axis=0),
    ),
    "negative scale as positive": given(lambda r: r.score_scale < 0, query=lambda q, _: -q),
    "negative scale gives zeros": returned(
        lambda r: r.score_scale < 0, lambda o, _i, _r: o * 0
    ),
    "temperature ignored at S > 500": given(
        lambda r: r.temperature != 1 and r.key_len > 500,
        query=lambda q, r: q * np.float32(r.temperature),
    ),
    "products clipped at 65504": returned(
        lambda r: r.scale == 2.0**-16, clipped
    ),
}  # fmt: skip


HIDDEN_BLOCKS = {
    f"blocks of {block} hidden whole": (
        simulated_flash(
            "no guard for hidden blocks", block=block, weights="float32", weights_dtype="float32"
        ),
        lambda r: r.mask in ("window", "causal_documents") and r.dtype == "float32",
    )
    for block in (16, 64, 256)
}


def is_small(request):
    return request.query_len <= 7 and request.key_len <= 7 and request.dtype == "float32"


def wrong_from(number):
    def change(_, request, base):
        call, count = base(), [0]

        def run():
            count[0] += 1
            result = call()
            return result if count[0] < number else replace(result, output=result.output * 0)

        return run

    return planted(change), is_small


def remembered(key):
    """Defect: results are kept by `key(inputs, request)` for as long as the process runs."""
    kept = {}

    def change(inputs, request, base):
        call, name = base(), key(inputs, request)
        return lambda: kept[name] if name in kept else kept.setdefault(name, call())

    return planted(change), is_small


def first_result(inputs, request, base):
    return functools.cache(base())


def without_strides(inputs, request, base):
    if inputs.query.flags.c_contiguous:
        return base()
    in_memory = np.ascontiguousarray(inputs.query.swapaxes(1, 2))
    return base(query=in_memory.reshape(inputs.query.shape))


def writes_to_inputs(inputs, request, base):
    call = base()

    def run():
        result = call()
        inputs.key[..., 0] = 0
        return result

    return run


STATE = {
    **{f"wrong from call {number} on": wrong_from(number) for number in (2, 3, 7, 50)},
    "results kept by address": remembered(lambda i, _: i.value.ctypes.data),
    "results kept by shape": remembered(lambda _, r: r),
    "results kept by the query": remembered(lambda i, _: i.query.tobytes()),
    "results kept by key and query": remembered(lambda i, _: i.query.tobytes() + i.key.tobytes()),
    "results kept by key and size of the query": remembered(
        lambda i, r: (r, np.abs(i.query).tobytes(), i.key.tobytes(), i.value.tobytes())
    ),
    "the first result of a preparation": (planted(first_result), is_small),
    "strides ignored": (planted(without_strides), lambda r: is_small(r) and r.heads > 1),
    "inputs written to": (planted(writes_to_inputs), is_small),
}


def leaking(name, test, when=lambda _: True):
    def change(inputs, request, base):
        call = base()

        def run():
            result = call()
            poisoned = test(getattr(inputs, name)).any(axis=(1, 2, 3)).reshape(-1, 1, 1, 1)
            output = np.where(poisoned & when(request), np.nan, result.output)
            return replace(result, output=output.astype(result.output.dtype))

        return run

    return planted(change), lambda r: when(r) and r.mask in ("key_padding", "padding")


LEAKS = {
    "nan of a hidden value": leaking("value", np.isnan),
    "inf of a hidden value": leaking("value", np.isinf),
    "nan of a hidden key": leaking("key", np.isnan),
    "inf of a hidden key": leaking("key", np.isinf),
    "nan of a hidden value at S > 256": leaking("value", np.isnan, lambda r: r.key_len > 256),
    "nan of a hidden key in float16": leaking("key", np.isnan, lambda r: r.dtype == "float16"),
}


def in_dtype(*dtypes):
    return lambda r: r.dtype in dtypes and r.key_len > 100


def times(factor):
    return lambda output, _i, _r: output * np.float32(factor)


def flash(fault, dtype, *, long=False, **options):
    longest = 2048 if long else 0
    return (
        simulated_flash(fault, **options),
        lambda r: (
            r.dtype == dtype and r.key_len >= max(longest, 500) and r.mask in ("none", "causal")
        ),
    )


EAGER = find_implementation("torch-eager")


def eager_times(factor, dtype):
    def prepare(inputs, request, *, threads=1):
        call = EAGER.prepare(inputs, request, threads=threads)

        def run():
            result = call()
            output = (result.output.float() * factor).to(result.output.dtype)
            return RawResult(output, result.weights)

        return run

    return replace(EAGER, name="planted", prepare=prepare), in_dtype(dtype)


SIXTEEN_BITS = {
    **{
        f"{dtype} output times {factor}": returned(in_dtype(dtype), times(factor))
        for dtype, factors in (("float16", (1.01, 1.005, 1.001)), ("bfloat16", (1.05, 1.02, 1.005)))
        for factor in factors
    },
    **{
        f"{dtype} output shifted": returned(in_dtype(dtype), lambda o, _i, _r: o + np.float32(2e-3))
        for dtype in BOTH
    },
    **{
        f"{dtype} output truncated": flash(
            "output truncated", dtype, weights="float32", weights_dtype="float32"
        )
        for dtype in BOTH
    },
    "float16 output rounded to bfloat16": returned(
        in_dtype("float16"), lambda o, _i, _r: rounded(o, "bfloat16")
    ),
    **{
        f"flash, {dtype}: {fault}": flash(fault, dtype)
        for dtype, faults in (
            ("float16", ("output times 1.005", "output rounded to bfloat16")),
            ("bfloat16", ("output times 1.02",)),
        )
        for fault in faults
    },
    **{
        f"flash, {dtype}: {fault}": flash(fault, dtype)
        for dtype in BOTH
        for fault in (
            "output truncated",
            "weights truncated",
            "last key twice",
            "last key's value lost",
            "scores rounded",
            "log-sum-exp in 16 bits",
        )
    },
    "flash, float16: weights in bfloat16": flash("", "float16", weights="bfloat16"),
    **{f"flash, {dtype}: weights in float8": flash("", dtype, weights="float8") for dtype in BOTH},
    **{
        f"flash, {dtype}: {fault}, blocks of {block}": flash(fault, dtype, long=True, block=block)
        for dtype in BOTH
        for fault in ("accumulator in 16 bits", "row sum in 16 bits")
        for block in (32, 128)
    },
    **{
        f"flash, {dtype}: rounds weights undeclared": flash("", dtype, weights_dtype="float32")
        for dtype in BOTH
    },
    "eager, float16: output times 1.005": eager_times(1.005, "float16"),
    "eager, bfloat16: output times 1.02": eager_times(1.02, "bfloat16"),
}

PLANTED = {**SIZES, **HIDDEN_BLOCKS, **STATE, **LEAKS, **SIXTEEN_BITS}
