"""Wrong attentions of long squares, of numbers of heads, and of lengths that few cases have.

As in :mod:`tests.unit.bench.certify.planted_defects`, each with the cases that could find it.
"""

import numpy as np

from attnpanel.bench.certify.long_cases import (
    FEW_HEADS,
    OTHER_KEYS,
    OTHER_QUERIES,
    OTHER_VALUE_WIDTHS,
    OTHER_WIDTHS,
)
from tests.unit.bench.certify.planted_defects import BOTH, given, put, returned
from tests.unit.bench.certify.planted_varied_defects import grouped, without_last_value


def square(request, mask):
    return request.mask == mask and request.query_len == request.key_len


def causal(request):
    return square(request, "causal")


# The last value is lost.
SIZES = {
    "causal squares of 16 bits, T > 1024": lambda r: (
        causal(r) and r.dtype in BOTH and r.query_len > 1024
    ),
    "squares without a mask, T > 1024": lambda r: square(r, "none") and r.query_len > 1024,
    "squares without a mask in 16 bits, T > 1024": lambda r: (
        square(r, "none") and r.dtype in BOTH and r.query_len > 1024
    ),
    "causal squares, D 128, T > 1024": lambda r: (
        causal(r) and r.head_dim == 128 and r.query_len > 1024
    ),
    "causal squares, T > 2048": lambda r: causal(r) and r.query_len > 2048,
    "causal squares, more than 2^24 scores": lambda r: causal(r) and r.query_len > 4096,
    "windows of bfloat16, T > 900": lambda r: (
        r.mask == "window" and r.dtype == "bfloat16" and r.query_len > 900
    ),
    "documents of float16, T > 300": lambda r: (
        r.mask == "causal_documents" and r.dtype == "float16" and r.query_len > 300
        and r.key_len > 300
    ),
    **{
        f"groups of {count}": lambda r, count=count: r.heads == count * r.kv_heads
        for count in (5, 6, 7, 12, 24, 48)
    },
    "groups of 3 of more than 3 key heads": lambda r: r.heads == 3 * r.kv_heads > 9,
    "more than 32 heads, T > 8": lambda r: r.heads > 32 and r.query_len > 8,
    "more than 8 sequences, T > 8": lambda r: r.batch > 8 and r.query_len > 8,
    "more than 5 sequences of groups without a mask": lambda r: (
        r.batch > 5 and grouped(r) and r.mask == "none"
    ),
    "D no multiple of 8, S > 256": lambda r: r.head_dim % 8 and r.key_len > 256,
    "D no multiple of 16 in float16, S > 64": lambda r: (
        r.head_dim % 16 and r.key_len > 64 and r.dtype == "float16"
    ),
    "D > 256, causal": lambda r: r.head_dim > 256 and causal(r),
    "D > 256, S > 130": lambda r: r.head_dim > 256 and r.key_len > 130 and r.query_len > 1,
    "D 192, Dv 128, causal": lambda r: (r.head_dim, r.value_dim) == (192, 128) and causal(r),
    "16 bits, S > 33000": lambda r: r.dtype in BOTH and r.key_len > 33_000,
    "masks, S > 65535": lambda r: r.mask != "none" and r.key_len > 65_535,
    "masks, T > 65535": lambda r: r.mask != "none" and r.query_len > 65_535,
    "D 128, S > 8192": lambda r: r.head_dim == 128 and r.key_len > 8192,
    "float64, T > 150": lambda r: r.dtype == "float64" and r.query_len > 150,
    "float64, one query, S > 64": lambda r: (
        r.dtype == "float64" and r.query_len == 1 and r.key_len > 64
    ),
    **{
        f"H {heads}/{kv_heads}, D {width}": lambda r, of=(heads, kv_heads, width): (
            (r.heads, r.kv_heads, r.head_dim) == of
        )
        for heads, kv_heads, width in (
            (32, 8, 128), (32, 32, 128), (64, 8, 128), (28, 4, 128), (40, 40, 128), (16, 2, 256),
            (128, 128, 192), (71, 1, 64), (25, 25, 64), (12, 12, 64),
        )
    },
    **{
        f"one query of {keys} keys": lambda r, keys=keys: (r.query_len, r.key_len) == (1, keys)
        for keys in (2048, 4096, 8192, 32_768)
    },
    "one query of groups, batch, bfloat16, S > 1000": lambda r: (
        r.query_len == 1 and r.batch > 1 and grouped(r) and r.dtype == "bfloat16"
        and r.key_len > 1000
    ),
    "a few queries of groups, D 128, S > 1024": lambda r: (
        2 <= r.query_len <= 8 and r.head_dim == 128 and grouped(r) and r.key_len > 1024
    ),
    "D 256, S > 2049": lambda r: r.head_dim >= 256 and r.key_len > 2049,
    "D 256, T > 256": lambda r: r.head_dim >= 256 and r.query_len > 256,
    "causal squares of whole blocks in bfloat16, T >= 512": lambda r: (
        causal(r) and r.dtype == "bfloat16" and r.query_len >= 512 and r.query_len % 128 == 0
    ),
    "causal squares of whole blocks in float16": lambda r: (
        causal(r) and r.dtype == "float16" and r.query_len >= 256 and r.query_len % 128 == 0
    ),
    "squares of whole blocks in bfloat16 without a mask": lambda r: (
        square(r, "none") and r.dtype == "bfloat16" and r.query_len >= 256
        and r.query_len % 64 == 0
    ),
    "causal squares of groups in 16 bits, T > 130": lambda r: (
        causal(r) and grouped(r) and r.dtype in BOTH and r.query_len > 130
    ),
    "one key, D 64": lambda r: r.key_len == 1 and r.head_dim >= 64,
    "one key, T > 64": lambda r: r.key_len == 1 and r.query_len > 64,
    "a scale of 1, T > 64": lambda r: r.scale == 1 and r.query_len > 64,
    "float64, causal squares, T > 64": lambda r: (
        causal(r) and r.dtype == "float64" and r.query_len > 64
    ),
    "float64, one query, D 128": lambda r: (
        r.dtype == "float64" and r.query_len == 1 and r.head_dim == 128
    ),
}  # fmt: skip


def seen_by_positions_in(dtype):
    """Return a mask by positions that are held in a dtype, of a causal request."""

    def visible(mask, request):
        queries, keys = np.arange(request.query_len), np.arange(request.key_len)
        if request.align == "bottom_right":
            queries = queries + request.key_len - request.query_len
        seen = queries.astype(dtype)[:, None] >= keys.astype(dtype)
        return np.broadcast_to(seen, mask.shape)

    return visible


POSITIONS = {
    "positions in float16": given(
        lambda r: causal(r) and r.query_len > 2048, mask=seen_by_positions_in(np.float16)
    ),
    "positions in int16": given(
        lambda r: r.mask == "causal" and r.align == "bottom_right" and r.key_len > 32_768,
        mask=seen_by_positions_in(np.int16),
    ),
}


def made_from(requests, defect):
    """A defect that the case's own request does not show, but one that a check makes from it."""
    return defect[0], lambda r: r in requests


OTHER_SIZES = {
    "heads beyond 65535": made_from(
        (FEW_HEADS,),
        returned(
            lambda r: r.batch * r.heads > 65_535,
            lambda o, _i, _r: put(o.reshape(-1, *o.shape[2:]), np.s_[65_535:], 0).reshape(o.shape),
        ),
    ),
    "heads counted in 16 bits": made_from(
        (FEW_HEADS,),
        returned(
            lambda r: r.batch * r.heads > 65_536,
            lambda o, _i, _r: o.reshape(-1, *o.shape[2:])[
                np.arange(o.shape[0] * o.shape[1]) % 65_536
            ].reshape(o.shape),
        ),
    ),
    **{
        f"S {rest} beyond blocks of 128": made_from(
            OTHER_KEYS,
            given(
                lambda r, rest=rest: r.key_len % 128 == rest and r.key_len > 256,
                value=without_last_value,
            ),
        )
        for rest in (3, 77, 100, 127)
    },
    **{
        f"T {rest} beyond blocks of 128": made_from(
            OTHER_QUERIES,
            returned(
                lambda r, rest=rest: r.query_len % 128 == rest and r.query_len > 256,
                lambda o, _i, _r: put(o, np.s_[:, :, -1], 0),
            ),
        )
        for rest in (1, 63, 77, 127)
    },
    **{
        f"{count} {what}": made_from(
            (FEW_HEADS,),
            given(
                lambda r, count=count, what=what: getattr(r, what) == count,
                value=without_last_value,
            ),
        )
        for count in (7, 20, 96, 200, 256, 512)
        for what in ("heads", "batch")
    },
    **{
        f"Dv {width}": made_from(
            OTHER_VALUE_WIDTHS,
            given(
                lambda r, width=width: r.value_dim == width != r.head_dim, value=without_last_value
            ),
        )
        for width in (5, 48, 80, 97)
    },
    **{
        f"D {width}": made_from(
            OTHER_WIDTHS,
            given(lambda r, width=width: r.head_dim == width, value=without_last_value),
        )
        for width in (15, 65, 136, 255)
    },
}

LONG = {
    **{name: given(when, value=without_last_value) for name, when in SIZES.items()},
    **POSITIONS,
    **OTHER_SIZES,
}
