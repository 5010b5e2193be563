"""More wrong attentions: of lengths, widths, combinations, borders, inputs, layouts and memory.

As in :mod:`tests.unit.bench.certify.planted_defects`, each with the cases that could find it.
"""

from dataclasses import replace

import numpy as np

from tests.unit.bench.certify.planted_defects import (
    given,
    is_small,
    mask_of,
    planted,
    put,
    returned,
    shifted_right,
)


def without_last_value(value, _request):
    return put(value, np.s_[:, :, -1], 0)


def without_last_row(output, _inputs, _request):
    return put(output, np.s_[:, :, -1], 0)


def grouped(request):
    return request.heads != request.kv_heads


def bottom_right(request):
    return request.mask == "causal" and request.align == "bottom_right"


LENGTHS = {
    **{
        f"S of {rest} beyond a block of {block}": given(
            lambda r, block=block, rest=rest: r.key_len > 16 and r.key_len % block == rest,
            value=without_last_value,
        )
        for block, rest in ((16, 2), (16, 9), (16, 14), (64, 17), (64, 40), (64, 62))
    },
    **{
        f"T of {rest} beyond a block of {block}": returned(
            lambda r, block=block, rest=rest: r.query_len > 16 and r.query_len % block == rest,
            without_last_row,
        )
        for block, rest in ((16, 3), (16, 8), (16, 12), (64, 23), (64, 33), (64, 50))
    },
    **{
        f"T in {low} to {high}": returned(
            lambda r, low=low, high=high: low <= r.query_len <= high, without_last_row
        )
        for low, high in ((8, 15), (17, 31), (70, 120), (300, 540))
    },
    "S in 17 to 63": given(lambda r: 17 <= r.key_len <= 63, value=without_last_value),
    "head 16": returned(lambda r: r.heads > 16, lambda o, _i, _r: put(o, np.s_[:, 16:], 0)),
    "sequence 8": returned(lambda r: r.batch > 8, lambda o, _i, _r: put(o, np.s_[8:], 0)),
    "heads beyond 256": returned(
        lambda r: r.heads > 256, lambda o, _i, _r: put(o, np.s_[:, 256:], 0)
    ),
    "key head 7": given(lambda r: r.kv_heads > 7, key=lambda k, _: put(k, np.s_[:, 7], 0)),
    **{
        f"D of {width}": given(
            lambda r, width=width: r.head_dim == width,
            query=lambda q, _: put(q, np.s_[..., -1], 0),
        )
        for width in (1, 2, 40, 72, 112, 160, 512)
    },
    "odd Dv beyond 16": given(
        lambda r: r.value_dim > 16 and r.value_dim % 2,
        value=lambda v, _: put(v, np.s_[..., -1], 0),
    ),
}

# The last value is lost.
COMBINED = {
    "causal, groups, bfloat16, D 128": lambda r: (
        r.mask == "causal" and grouped(r) and r.dtype == "bfloat16" and r.head_dim == 128
    ),
    "window, groups, bfloat16": lambda r: (
        r.mask == "window" and grouped(r) and r.dtype == "bfloat16"
    ),
    "window, groups, bias": lambda r: r.mask == "window" and grouped(r) and r.bias,
    "documents, groups, bias, float16": lambda r: (
        r.mask == "documents" and grouped(r) and r.bias and r.dtype == "float16"
    ),
    "bias at S > 2049": lambda r: r.bias and r.key_len > 2049,
    "bias at T > 256": lambda r: r.bias and r.query_len > 256,
    "window at S > 2049": lambda r: r.mask == "window" and r.key_len > 2049,
    "window at T > 541": lambda r: r.mask == "window" and r.query_len > 541,
    "causal, bfloat16, T > 541": lambda r: (
        r.mask == "causal" and r.dtype == "bfloat16" and r.query_len > 541
    ),
    "a positive scale at T > 64": lambda r: (r.scale or 0) > 1e-3 and r.query_len > 64,
    "a scale above 1": lambda r: (r.scale or 0) > 1,
    "a scale of 0": lambda r: r.scale == 0,
    "a temperature above 1 at T > 16": lambda r: r.temperature > 1 and r.query_len > 16,
    "a temperature below 0.1 at T > 16": lambda r: r.temperature < 0.1 and r.query_len > 16,
    **{
        f"float64, {mask}": lambda r, mask=mask: r.dtype == "float64" and r.mask == mask
        for mask in ("window", "prefix", "documents")
    },
    "float64, bias, T > 16": lambda r: r.dtype == "float64" and r.bias and r.query_len > 16,
    "float64, negative scale": lambda r: r.dtype == "float64" and r.score_scale < 0,
    "float64, one query": lambda r: r.dtype == "float64" and r.query_len == 1,
    "Dv other than D, window": lambda r: (
        r.value_dim != r.head_dim and r.mask == "window" and r.key_len > 16
    ),
    "one key, many queries": lambda r: r.key_len == 1 and r.query_len > 16,
    "fewer keys than queries, causal, groups": lambda r: (
        r.key_len < r.query_len and bottom_right(r) and grouped(r)
    ),
}

# The mask is one key late.
BORDERS = {
    "a window of 1": lambda r: r.window == 1,
    "a window of S or more": lambda r: (r.window or 0) >= r.key_len,
    "one real key": lambda r: 1 in (r.pad_lens or ()),
    "all but one key real": lambda r: r.key_len > 16 and r.key_len - 1 in (r.pad_lens or ()),
    "an empty sequence": lambda r: r.key_len > 16 and 0 in (r.pad_lens or ()),
    "no prefix": lambda r: dict(r.mask_options).get("prefix_len") == 0,
    "a document of one token": lambda r: (
        r.key_len > 16 and 1 in np.diff([0, *dict(r.mask_options).get("starts", ())])
    ),
    "more than three documents": lambda r: len(dict(r.mask_options).get("starts", ())) > 2,
}


def on_input(name, test):
    """Defect: zeros where `test(array)` finds that input."""

    def change(inputs, _request, base):
        call = base()
        found = test(getattr(inputs, name).astype(np.float64))

        def run():
            result = call()
            return replace(result, output=result.output * 0) if found else result

        return run

    # The kinds of inputs that bfloat16 lacks are found in the others.
    return planted(change), lambda r: r.dtype != "bfloat16" and r.key_len <= 100


INPUTS = {
    "values of one sign": on_input("value", lambda x: x.size > 500 and (x >= 0).all()),
    "tiny queries": on_input("query", lambda x: np.abs(x).max() < 1e-2),
    "a query of zeros": on_input("query", lambda x: (x == 0).all(axis=-1).any()),
    "whole numbers": on_input("query", lambda x: x.size > 50 and (x == np.rint(x)).all()),
    "equal keys": on_input("key", lambda x: x.shape[2] > 3 and (x[:, :, 0] == x[:, :, 1]).all()),
    "large keys of one sign": on_input("key", lambda x: x.size > 50 and x.max() < 0),
}


def one_buffer(_inputs, _request, base):
    call, kept = base(), []

    def run():
        result = call()
        kept[:] = kept or [np.empty_like(result.output)]
        kept[0][...] = result.output
        return replace(result, output=kept[0])

    return run


def view_of_an_input(inputs, request, base):
    call = base()

    def run():
        result = call()
        if request.key_len == 1 and not grouped(request):
            return replace(result, output=np.broadcast_to(inputs.value, result.output.shape))
        return result

    return run


def misread(name, when):
    """Defect: an input in a layout is taken for another."""

    def change(inputs, _request, base):
        array = getattr(inputs, name)
        return base(**{name: np.roll(array, 1, axis=-1)}) if when(array) else base()

    return planted(change), lambda r: is_small(r) and r.head_dim > 1 and r.value_dim > 1


def is_sliced(array):
    _, heads, tokens, channels = array.shape
    return heads > 1 and array.strides[1] > tokens * channels * array.itemsize


MEMORY = {
    "one buffer for every output": (planted(one_buffer), is_small),
    "a view of an input": (planted(view_of_an_input), lambda r: r.key_len == 1),
    **{
        f"{name} heads last misread": misread(name, lambda x: x.strides[1] < x.strides[2])
        for name in ("query", "key", "value")
    },
    **{
        f"{name} of every second channel misread": misread(
            name, lambda x: x.strides[3] > x.itemsize
        )
        for name in ("query", "key", "value")
    },
    **{
        f"{name} in a slice of a cache misread": misread(name, is_sliced)
        for name in ("query", "key", "value")
    },
    "expanded keys misread": misread("key", lambda x: x.shape[1] > 1 and x.strides[1] == 0),
}

VARIED = {
    **LENGTHS,
    **{name: given(when, value=without_last_value) for name, when in COMBINED.items()},
    **{name: given(when, mask=mask_of(shifted_right)) for name, when in BORDERS.items()},
    **INPUTS,
    **MEMORY,
}
