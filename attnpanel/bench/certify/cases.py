"""The list of certified cases."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from attnpanel.attention.mask_table import find_mask, mask_kinds
from attnpanel.bench.certify.case import (
    DIRECTIONS,
    Case,
    InputKind,
    batch_mask,
    example_mask,
    make_inputs,
)
from attnpanel.bench.certify.covering import covering_array
from attnpanel.bench.certify.long_cases import long_cases
from attnpanel.bench.certify.paired_cases import paired_cases
from attnpanel.bench.certify.specialised_cases import specialised_cases
from attnpanel.bench.certify.varied_cases import varied_cases
from attnpanel.kernels.request import DType, Request

if TYPE_CHECKING:
    from attnpanel.attention.mask_table import MaskName
    from attnpanel.attention.masks import Align

__all__ = [
    "DIRECTIONS",
    "Case",
    "InputKind",
    "certificate_cases",
    "example_mask",
    "make_inputs",
    "mask_cases",
    "select_cases",
]

# Distinct primes, so that no axis can be mistaken for another.
PRIMES: Final = Request(2, 3, 3, 5, 7, 11, 13)
# Supported by more kernels: D = Dv, and then T = S too.
SAME_DIMS: Final = replace(PRIMES, value_dim=11)
SQUARE: Final = replace(SAME_DIMS, key_len=5)
GROUPED: Final = replace(SAME_DIMS, heads=6, kv_heads=3)
# Longer than, and no multiple of, the blocks of 128 queries and 512 keys that kernels use.
BLOCKS: Final = Request(1, 2, 2, 149, 541, 64, 64)

EVERY_DTYPE: Final[tuple[tuple[Request, InputKind], ...]] = (
    (SQUARE, "randn"),
    (replace(SQUARE, mask="causal"), "randn"),
    (replace(SQUARE, mask="key_padding", pad_lens=(3, 0)), "randn"),
    (replace(GROUPED, mask="causal", align="bottom_right"), "randn"),
    (replace(SAME_DIMS, bias=True), "randn"),
    (replace(SAME_DIMS, temperature=0.5), "peaked"),
    (replace(SQUARE, mask="causal"), "outlier"),
    (replace(SQUARE, mask="causal"), "large"),
)


def mask_cases(kind: MaskName) -> tuple[Case, ...]:
    """Return what certifies any mask kind: T != S with a diagonal at either end, and more."""

    def under(request: Request, **more: Any) -> Request:
        mask = example_mask(kind, request.query_len, request.key_len, request.batch)
        return replace(request, **mask, **more)

    requests: list[tuple[Request, InputKind]] = [
        (under(PRIMES), "randn"),
        (under(SQUARE, temperature=0.5), "peaked"),
        (under(SAME_DIMS, bias=True), "randn"),
        (under(replace(SAME_DIMS, query_len=7, key_len=5)), "outlier"),
        (under(SQUARE, dtype="float16"), "randn"),
        (under(SQUARE, dtype="bfloat16"), "large"),
        (under(BLOCKS), "randn"),
    ]
    if find_mask(kind).aligned:
        requests += [(under(SAME_DIMS, align="bottom_right"), "randn")]
    return tuple(Case(request, inputs) for request, inputs in requests)


# The kinds that were there when results were first kept: their cases keep their names.
BY_HAND: Final[tuple[Case, ...]] = (
    # The notebook's shapes: 4 tokens of 3 channels; 2 sequences, 2 heads, 5 tokens, 4 channels.
    Case(Request(1, 1, 1, 4, 4, 3, 3)),
    Case(Request(1, 1, 1, 4, 4, 3, 3, mask="padding", pad_lens=(3,))),
    Case(Request(2, 2, 2, 5, 5, 4, 4)),
    Case(Request(2, 2, 2, 5, 5, 4, 4, mask="causal")),
    Case(Request(2, 2, 2, 5, 5, 4, 4, mask="padding", pad_lens=(3, 4))),
    # Every mask.
    Case(PRIMES),
    Case(replace(PRIMES, mask="causal")),
    Case(replace(PRIMES, mask="causal", align="bottom_right")),
    Case(replace(PRIMES, mask="key_padding", pad_lens=(3, 7))),
    Case(replace(PRIMES, mask="window", window=2, align="bottom_right")),
    Case(replace(PRIMES, bias=True)),
    Case(SQUARE),
    Case(replace(SQUARE, mask="causal")),
    Case(replace(SQUARE, mask="window", window=2)),
    Case(replace(SAME_DIMS, mask="causal")),
    Case(replace(SAME_DIMS, mask="causal", align="bottom_right")),
    Case(replace(SAME_DIMS, query_len=7, key_len=5, mask="causal")),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 7))),
    Case(replace(SAME_DIMS, mask="window", window=2)),
    Case(replace(SAME_DIMS, mask="causal", bias=True)),
    # Empty rows: padded queries, a sequence of length 0, two more queries than keys.
    Case(replace(SAME_DIMS, mask="padding", pad_lens=(2, 4))),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(5, 0))),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 0), bias=True)),
    Case(replace(SAME_DIMS, query_len=7, key_len=5, mask="causal", align="bottom_right")),
    # Grouped queries, one query, one key, a given scale.
    Case(GROUPED),
    Case(replace(GROUPED, mask="causal")),
    Case(replace(GROUPED, kv_heads=1, value_dim=13, mask="key_padding", pad_lens=(3, 7))),
    Case(replace(SAME_DIMS, query_len=1)),
    Case(replace(SAME_DIMS, query_len=1, mask="causal", align="bottom_right")),
    Case(replace(SAME_DIMS, key_len=1)),
    Case(replace(SQUARE, scale=1.0)),
    # Temperatures.
    Case(replace(SAME_DIMS, temperature=0.01)),
    Case(replace(SQUARE, mask="causal", temperature=0.01), "large"),
    Case(replace(SAME_DIMS, mask="causal", temperature=0.5)),
    Case(replace(SAME_DIMS, bias=True, temperature=3.0)),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 7), temperature=100.0)),
    # Difficult inputs.
    Case(SQUARE, "peaked"),
    Case(replace(SAME_DIMS, mask="causal"), "peaked"),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 7)), "outlier"),
    Case(replace(SQUARE, mask="causal"), "outlier"),
    Case(replace(SAME_DIMS, mask="causal"), "large"),
    Case(replace(SQUARE, mask="window", window=2), "large"),
    # Other dtypes.
    *(
        Case(replace(request, dtype=dtype), kind)
        for dtype in get_args(DType)
        if dtype != "float32"
        for request, kind in EVERY_DTYPE
    ),
    # Several blocks in every kernel.
    Case(BLOCKS),
    Case(replace(BLOCKS, query_len=541, mask="causal")),
    Case(replace(BLOCKS, mask="causal", align="bottom_right"), "peaked"),
    Case(replace(BLOCKS, mask="key_padding", pad_lens=(257,)), "outlier"),
    Case(replace(BLOCKS, mask="window", window=131), "large"),
    Case(replace(BLOCKS, dtype="bfloat16")),
    Case(replace(BLOCKS, dtype="float16", query_len=541, mask="causal")),
    # oneDNN's AMX matrix product read past the end of a row if S is no multiple of 32 (before its
    # PR 5723), so the nan of an empty row reached the row before it.
    Case(Request(1, 2, 2, 200, 200, 16, 16, "bfloat16", mask="padding", pad_lens=(100,))),
)


def _covering_cases() -> tuple[Case, ...]:
    """Return cases at block size in which every two of the factors' levels meet."""
    masks = [
        (kind, align)
        for kind in mask_kinds()
        for align in ("top_left", "bottom_right")
        if align == "top_left" or find_mask(kind).aligned
    ]
    equal_widths = {
        "query_len": (1, 16, 63, 65, 128, 256),
        # Multiples of the blocks of 16 to 256 keys that kernels use, and one more and one less.
        "key_len": (64, 127, 129, 256, 513, 640, 1024, 2049),
        "widths": tuple((width, width) for width in (32, 64, 80, 96, 128, 192, 256)),
        "heads": ((1, 1, 1), (1, 4, 2), (2, 2, 2), (2, 4, 1), (3, 3, 3)),
        "mask": masks,
        "dtype": ("float32", "float16", "bfloat16"),
        "kind": ("randn", "peaked", "outlier", "large"),
        "bias": (False, True),
        "scale": (None, -0.0625),
        "temperature": (1.0, 0.5),
    }
    # Few kernels support these, so no pair of the others may depend on them.
    other_widths = {
        "query_len": (1, 65, 128),
        "key_len": (129, 513, 1024),
        "widths": ((64, 128), (128, 64), (192, 128), (80, 96), (256, 32), (96, 256)),
        "heads": ((1, 4, 2), (2, 2, 2)),
        "mask": [pair for pair in masks if pair[0] in ("none", "causal", "key_padding")],
        "dtype": ("float32", "float16", "bfloat16"),
        "temperature": (1.0, 0.5),
    }
    rows = covering_array(equal_widths) + covering_array(other_widths)
    return tuple(_case_at_block_size(seed, **row) for seed, row in enumerate(rows, 1))


def _case_at_block_size(
    seed: int,
    *,
    query_len: int,
    key_len: int,
    widths: tuple[int, int],
    heads: tuple[int, int, int],
    mask: tuple[MaskName, Align],
    kind: InputKind = "randn",
    **options: Any,
) -> Case:
    batch, query_heads, kv_heads = heads
    request = Request(
        batch=batch,
        heads=query_heads,
        kv_heads=kv_heads,
        query_len=query_len,
        key_len=key_len,
        head_dim=widths[0],
        value_dim=widths[1],
        align=mask[1],
        **batch_mask(mask[0], query_len, key_len, batch),
        **options,
    )
    return Case(request, kind, seed)


def _sixteen_bit_cases() -> tuple[Case, ...]:
    """Return cases of so many keys that sums kept in 16 bits show, and products beyond float16."""
    long = Request(1, 1, 1, 256, 2048, 128, 128)
    cases = []
    for dtype in ("float16", "bfloat16"):
        requests: tuple[tuple[Request, InputKind], ...] = (
            (BLOCKS, "randn"),
            (replace(BLOCKS, query_len=541, mask="causal"), "randn"),
            (long, "randn"),
            (replace(long, query_len=32, key_len=8192, head_dim=64, value_dim=64), "randn"),
            (replace(BLOCKS, scale=2.0**-16), "huge"),
        )
        cases += [Case(replace(request, dtype=dtype), kind) for request, kind in requests]
    return tuple(cases)


# Long, hidden, negative and huge: what neither the small cases nor the covering array has.
LARGE: Final[tuple[Case, ...]] = (
    Case(replace(BLOCKS, query_len=32, key_len=8192)),
    Case(replace(BLOCKS, heads=1, kv_heads=1, query_len=1, key_len=16384)),
    Case(replace(BLOCKS, query_len=64, key_len=4097, mask="causal", align="bottom_right")),
    Case(Request(2, 4, 2, 1, 4097, 128, 128, mask="key_padding", pad_lens=(4097, 2050))),
    Case(Request(2, 2, 1, 1025, 1025, 64, 64, mask="causal")),
    Case(Request(1, 1, 1, 2048, 2048, 64, 64, mask="causal")),
    # Squares of whole blocks, as they are timed.
    Case(Request(1, 2, 1, 512, 512, 64, 64)),
    Case(Request(1, 1, 1, 1024, 1024, 128, 128, mask="causal")),
    # Channels that fill no vector.
    Case(Request(1, 2, 1, 65, 129, 100, 100, mask="causal", align="bottom_right")),
    Case(Request(1, 2, 1, 65, 129, 100, 100, "bfloat16")),
    Case(Request(5, 16, 2, 33, 65, 64, 64, mask="causal", align="bottom_right")),
    Case(replace(BLOCKS, dtype="float64")),
    Case(Request(2, 4, 2, 65, 257, 128, 128, "float64", mask="causal", align="bottom_right")),
    # Whole blocks of keys hidden before the first that a query sees.
    Case(replace(BLOCKS, query_len=7, mask="window", window=100, align="bottom_right")),
    Case(Request(1, 2, 1, 541, 541, 64, 64, mask="window", window=16)),
    Case(
        Request(1, 2, 1, 541, 541, 64, 64, mask="causal_documents",
                mask_options=(("starts", (257, 272)),))
    ),
    Case(replace(BLOCKS, scale=2.0**-16), "huge"),
    Case(replace(SQUARE, scale=-0.5)),
    Case(replace(SQUARE, scale=-0.5, mask="causal", dtype="float16")),
    Case(replace(SQUARE, scale=-0.5, mask="causal", dtype="bfloat16")),
    Case(replace(BLOCKS, query_len=541, scale=-0.125, mask="causal"), "large"),
)  # fmt: skip


@functools.cache
def certificate_cases() -> tuple[Case, ...]:
    """Return every case of the certificate; made when first asked for, in a tenth of a second."""
    listed = (
        *BY_HAND,
        *(
            case
            for kind in mask_kinds()
            if kind not in {case.request.mask for case in BY_HAND}
            for case in mask_cases(kind)
        ),
        *LARGE,
        *_sixteen_bit_cases(),
        *_covering_cases(),
        *varied_cases(),
        *specialised_cases(),
        *long_cases(),
        *paired_cases(),
    )
    return tuple({case.name: case for case in listed}.values())


def __getattr__(name: str) -> tuple[Case, ...]:
    """Make CERTIFICATE_CASES where it is asked for: processes that certify one case need none."""
    if name == "CERTIFICATE_CASES":
        return certificate_cases()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def select_cases(which: Literal["all", "few", "none"]) -> list[Case]:
    """Return every case, the first of each mask and dtype, or none."""
    if which == "few":
        cases = certificate_cases()
        first = {(case.request.mask, case.request.dtype): case for case in reversed(cases)}
        return [case for case in cases if case in first.values()]
    return list(certificate_cases()) if which == "all" else []
