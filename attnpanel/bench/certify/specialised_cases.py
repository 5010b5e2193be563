"""Cases for what kernels are specialised for: three factors, very long axes, extreme values.

A kernel is compiled for a width, a dtype and a mask together, and has other code for one query, for
a chunk of them and for groups of heads: a covering array in which every three levels meet. Indices
of 16 bits end at 65,535, so T and S go beyond, of one head and few channels.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from attnpanel.bench.certify.case import Case, batch_mask
from attnpanel.bench.certify.covering import covering_array
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from attnpanel.attention.mask_table import MaskName
    from attnpanel.attention.masks import Align
    from attnpanel.bench.certify.case import InputKind
    from attnpanel.kernels.request import DType

MASKS: Final[tuple[tuple[MaskName, Align], ...]] = (
    ("none", "top_left"),
    ("causal", "top_left"),
    ("causal", "bottom_right"),
    ("window", "bottom_right"),
    ("key_padding", "top_left"),
)
WIDTHS: Final = (64, 80, 96, 128, 192, 256)
SIXTEEN_BIT: Final[tuple[DType, ...]] = ("float16", "bfloat16")
EXACT: Final[tuple[DType, ...]] = ("float32", "float64")
SEED: Final = 3000
VERY_LONG: Final = (
    Request(1, 1, 1, 66_000, 3, 8, 8),
    Request(1, 2, 1, 4100, 33, 16, 16, "bfloat16", mask="causal"),
    Request(1, 1, 1, 33_000, 4, 8, 8, "float16", mask="key_padding", pad_lens=(3,)),
    Request(1, 1, 1, 2, 66_000, 8, 8),
    Request(1, 4, 2, 70, 1100, 64, 64, "bfloat16", mask="causal", align="bottom_right", bias=True),
    Request(1, 8, 1, 9, 1100, 64, 64, "float16", mask="window", window=600, align="bottom_right"),
    Request(1, 2, 1, 1, 33_000, 16, 16, "bfloat16", mask="key_padding", pad_lens=(32_990,)),
    # A width of keys beyond that of values, one key head and one query: a latent cache.
    Request(1, 16, 1, 1, 130, 576, 512, "bfloat16"),
)
SMALL: Final = Request(2, 4, 2, 21, 37, 24, 24)
EXTREME: Final[tuple[tuple[InputKind, tuple[DType, ...]], ...]] = (
    ("wide", ("float32", "float16", "bfloat16", "float64")),
    ("vast", ("float32", "bfloat16")),
    ("zeros", ("float32", "float16", "bfloat16")),
    ("low", ("float16", "bfloat16")),
)

DEEP: Final[tuple[DType, ...]] = ("float32", "bfloat16", "float64")
# Beyond what the arrays of factors have: groups of heads, sequences, widths, and long axes of wide
# heads.
LARGER: Final = (
    Request(1, 64, 1, 1, 70, 32, 32, "bfloat16"),
    Request(1, 40, 1, 5, 37, 16, 16, mask="key_padding", pad_lens=(21,)),
    Request(
        67, 1, 1, 3, 5, 8, 8, "float16", mask="key_padding", pad_lens=(*range(1, 6), *(4,) * 62)
    ),
    Request(
        5, 6, 2, 9, 150, 64, 64, "bfloat16", mask="key_padding", pad_lens=(150, 3, 64, 65, 149)
    ),
    Request(4, 6, 2, 9, 150, 64, 64, "float16", mask="causal", align="bottom_right"),
    Request(1, 9, 3, 33, 300, 64, 64, "bfloat16", mask="causal", align="bottom_right"),
    Request(1, 2, 1, 5, 7, 1024, 1024, "float16"),
    Request(1, 2, 1, 1, 37, 640, 640, "bfloat16"),
    Request(1, 2, 1, 9, 4100, 128, 128),
    Request(1, 2, 1, 3, 1100, 64, 64, "float64", mask="key_padding", pad_lens=(1090,)),
)

# Longer than a block of keys, and than any that a kernel treats as short.
RISING: Final = (
    Request(1, 4, 2, 9, 544, 24, 24, mask="causal", align="bottom_right"),
    Request(1, 2, 1, 2, 4200, 16, 16, mask="key_padding", pad_lens=(4190,)),
)


def specialised_cases() -> tuple[Case, ...]:
    """Return the cases, the same on every machine."""
    rows = covering_array(
        {
            "query_len": (1, 33, 130),
            "key_len": (70, 530),
            "width": WIDTHS,
            "heads": ((2, 1, 1), (2, 4, 2), (1, 8, 1)),
            "mask": MASKS,
            "dtype": ("float32", "float16", "bfloat16"),
            "bias": (False, True),
        },
        strength=3,
    )
    cases = []
    for seed, row in enumerate(rows, SEED):
        (batch, heads, kv_heads), (kind, align) = row["heads"], row["mask"]
        query_len, key_len, width = row["query_len"], row["key_len"], row["width"]
        if (kind, align) == ("causal", "top_left"):  # each key is seen, as where it is used
            query_len = key_len = query_len if query_len > 1 else 70
        mask = batch_mask(kind, query_len, key_len, batch)
        request = Request(
            batch=batch,
            heads=heads,
            kv_heads=kv_heads,
            query_len=query_len,
            key_len=key_len,
            head_dim=width,
            value_dim=width,
            dtype=row["dtype"],
            align=align,
            bias=row["bias"],
            **mask,
        )
        cases.append(Case(request, seed=seed))
    by_hand = (*VERY_LONG, *_grouped_heads(), *_one_query_of_groups(), *LARGER)
    rising = [
        Case(replace(request, dtype=dtype), "rising") for request in RISING for dtype in EXACT
    ]
    small = replace(SMALL, mask="key_padding", pad_lens=(20, 37))
    deep = [Case(replace(small, dtype=dtype), "deep") for dtype in DEEP]
    subnormal = Case(replace(small, dtype="float16", scale=2.0**17 / 5), "subnormal")
    return (
        *cases,
        *(Case(request) for request in by_hand),
        *_extreme_cases(),
        *rising,
        *deep,
        subnormal,
    )


def _grouped_heads() -> list[Request]:
    """Return the last query of a sequence, and its last 70, of grouped heads of every width."""
    return [
        Request(1, 4, 2, query_len, 97, width, width, dtype, mask="causal", align="bottom_right")
        for query_len, width, dtype in product((1, 70), WIDTHS, SIXTEEN_BIT)
    ]


def _one_query_of_groups() -> list[Request]:
    """Return the last query of a sequence, of groups of 8, in every mask of a cache and width."""
    masks: tuple[dict[str, Any], ...] = (
        {"mask": "key_padding", "pad_lens": (290,)},
        {"mask": "window", "window": 131, "align": "bottom_right"},
    )
    return [
        Request(1, 8, 1, 1, 300, width, width, dtype, **mask)
        for width, dtype, mask in product((64, 128), SIXTEEN_BIT, masks)
    ]


def _extreme_cases() -> list[Case]:
    masks: tuple[tuple[bool, dict[str, Any]], ...] = (
        (True, {"mask": "causal"}),
        (False, {"mask": "key_padding", "pad_lens": (20, 37)}),
    )
    return [
        Case(replace(SMALL, dtype=dtype, bias=bias, **mask), kind)
        for kind, dtypes in EXTREME
        for dtype in dtypes
        for bias, mask in masks
    ]
