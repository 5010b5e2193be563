"""Cases of every length, of many widths and of masks at their borders, drawn once by a seed.

The covering array of :mod:`attnpanel.bench.certify.cases` has few lengths, each at the border of a
block, and two factors at once. These are small, so there can be many: every mask, dtype, grouping
of heads and bias together, each with T and S of its own, so that every remainder of a block of up
to 64 occurs. And long ones of one head, in which every mask has many queries, many keys, and one
query of very many keys.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from attnpanel.attention.mask_table import find_mask, mask_kinds
from attnpanel.bench.certify.case import Case
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from attnpanel.attention.mask_table import MaskName, MaskParameter, MaskValue
    from attnpanel.attention.masks import Align
    from attnpanel.bench.certify.case import InputKind
    from attnpanel.kernels.request import DType

    Aligned = tuple[MaskName, Align]

Level = TypeVar("Level")

SIXTEEN_BIT: Final[tuple[DType, ...]] = ("float16", "bfloat16")
DTYPES: Final[tuple[DType, ...]] = ("float32", *SIXTEEN_BIT, "float64")
# Two widths in three are what every kernel takes.
COMMON_WIDTHS: Final = (16, 32, 64, 128)
OTHER_WIDTHS: Final = (
    *((width, width) for width in (1, 2, 3, 8, 20, 24, 33, 40, 48, 72, 100, 112, 144, 160, 224)),
    *((320, 320), (512, 512), (32, 1), (40, 33), (64, 320), (8, 64)),
)
# The reference of float64 is computed in longdouble, which is slow.
WIDTHS_OF_FLOAT64: Final = ((8, 8), (16, 16), (33, 33), (16, 24))
HEADS: Final = ((1, 1, 1), (1, 3, 3), (2, 2, 2), (4, 1, 1), (1, 9, 9))
GROUPED_HEADS: Final = ((1, 2, 1), (2, 6, 2), (1, 8, 1), (1, 9, 3), (3, 4, 2))
# Weights that are exactly equal are rounded alike, in 16 bits, which the model does not have.
KINDS: Final[tuple[InputKind, ...]] = (
    *("randn", "randn", "randn", "peaked", "outlier", "large", "positive"),
)
EXACT_KINDS: Final[tuple[InputKind, ...]] = (*KINDS, "ties", "tiny", "low")
SCALES: Final = (*(None,) * 4, 0.3, 1.7, -0.4)
TEMPERATURES: Final = (*(1.0,) * 5, 0.05, 4.0)
SEED: Final = 1000
# Ranges of T, and of T · S.
LONG: Final = (((1, 2), (5000, 7000)), ((10, 30), (62_000, 68_000)), ((260, 900), (20_000, 24_000)))


def varied_cases() -> tuple[Case, ...]:
    """Return the cases, the same on every machine."""
    rng = np.random.default_rng(SEED)
    by_hand = (
        # Many heads and sequences, and a scale of 0, which is one that was given.
        Request(1, 72, 9, 5, 7, 16, 16, mask="causal"),
        Request(33, 4, 2, 3, 5, 16, 16, mask="key_padding", pad_lens=(*range(1, 6), *(3,) * 28)),
        Request(1, 257, 257, 2, 3, 8, 8),
        Request(2, 3, 3, 5, 7, 11, 11, scale=0.0),
    )
    return (
        *(Case(request) for request in by_hand),
        *_small_cases(rng, ("float32", *SIXTEEN_BIT)),
        *_small_cases(rng, ("float64",)),
        *_long_cases(rng),
    )


def drawn_mask(
    rng: np.random.Generator, kind: MaskName, query_len: int, key_len: int, batch: int
) -> dict[str, Any]:
    """Return fields of a Request with a mask whose parameters are often at a border."""
    entries = [
        {
            parameter.name: _drawn_value(rng, parameter, query_len, key_len)
            for parameter in find_mask(kind).parameters
        }
        for _ in range(batch)
    ]
    fields: dict[str, Any] = {"mask": kind}
    values = entries[0]
    if "pad_len" in values:
        fields["pad_lens"] = tuple(entry["pad_len"] for entry in entries)
        values.pop("pad_len")
    if "window" in values:
        fields["window"] = values.pop("window")
    return {**fields, "mask_options": tuple(values.items())}


def _drawn_value(
    rng: np.random.Generator, parameter: MaskParameter, query_len: int, key_len: int
) -> MaskValue:
    low, high = parameter.bounds(query_len, key_len)
    if not parameter.positions:
        some = int(rng.integers(low, high + 1))
        choices = (low, low + 1, high, high - 1, some, some // 16 * 16, some // 64 * 64)
        return parameter.fit(int(rng.choice(choices)), query_len, key_len)
    at = [int(rng.integers(max(low, 1), max(high, 2))) for _ in range(rng.integers(1, 5))]
    # With the next token: a document of one.
    whole = {at[0], at[0] + 1, *(position // 8 * 8 for position in at[1:])}
    return parameter.fit(tuple(sorted(whole - {0})), query_len, key_len)


def _small_cases(rng: np.random.Generator, dtypes: Sequence[DType]) -> Iterator[Case]:
    combined = list(product(masks(), dtypes, (HEADS, GROUPED_HEADS), (False, True)))
    double = dtypes == ("float64",)
    count = len(combined)
    lengths = [1, *range(17, 64)] if double else list(range(1, count + 1))
    query_lens, key_lens = (_each(rng, lengths, count) for _ in range(2))
    other = _each(rng, WIDTHS_OF_FLOAT64 if double else OTHER_WIDTHS, count)
    common = _each(rng, [(width, width) for width in COMMON_WIDTHS], count)
    heads = {levels: _each(rng, levels, count) for levels in (HEADS, GROUPED_HEADS)}
    scales, temperatures = _each(rng, SCALES, count), _each(rng, TEMPERATURES, count)
    kinds = {
        True: _each(rng, EXACT_KINDS, count),
        False: _each(rng, KINDS, count),
    }
    for n, ((kind, align), dtype, levels, bias) in enumerate(combined):
        batch, query_heads, kv_heads = heads[levels][n]
        width, value_width = other[n] if double or n % 3 == 0 else common[n]
        request = Request(
            batch=batch,
            heads=query_heads,
            kv_heads=kv_heads,
            query_len=query_lens[n],
            key_len=key_lens[n],
            head_dim=width,
            value_dim=value_width,
            dtype=dtype,
            align=align,
            bias=bias,
            scale=scales[n],
            temperature=temperatures[n],
            **drawn_mask(rng, kind, query_lens[n], key_lens[n], batch),
        )
        yield Case(request, kinds[dtype not in SIXTEEN_BIT][n], SEED + n)


def _long_cases(rng: np.random.Generator) -> Iterator[Case]:
    combined = list(product(LONG, masks()))
    dtypes = _each(rng, ("float32", *SIXTEEN_BIT), len(combined))
    for n, ((queries, cells), (kind, align)) in enumerate(combined):
        query_len = int(rng.integers(*queries))
        key_len = int(rng.integers(*cells)) // query_len
        heads = 1 + n % 2
        request = Request(
            1, heads, 1, query_len, key_len, 16, 16, dtypes[n], align=align, bias=n // 2 % 2 == 0
        )
        mask = drawn_mask(rng, kind, query_len, key_len, 1)
        yield Case(replace(request, **mask), seed=SEED + n)


def masks() -> list[Aligned]:
    """Return every kind of mask, with either alignment where it matters."""
    aligns: tuple[Align, ...] = ("top_left", "bottom_right")
    return [
        (kind, align)
        for kind in mask_kinds()
        for align in aligns
        if align == "top_left" or find_mask(kind).aligned
    ]


def _each(rng: np.random.Generator, levels: Sequence[Level], count: int) -> list[Level]:
    """Return so many levels in random order, each as often as any other, to within one."""
    repeated = [levels[n % len(levels)] for n in range(count)]
    return [repeated[n] for n in rng.permutation(count)]
