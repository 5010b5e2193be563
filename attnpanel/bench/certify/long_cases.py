"""Cases of lengths, widths and numbers of heads beyond those of the other lists, by hand.

Squares of more than a thousand tokens in every dtype, masks beyond 65,535 tokens, numbers of heads
to a key head that are no power of two, many heads and sequences of several queries, and the cases
of which :mod:`attnpanel.bench.certify.checks_sizes` makes shorter and more numerous ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attnpanel.bench.certify.case import Case
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from attnpanel.kernels.request import DType

DTYPES: Final[tuple[DType, ...]] = ("float32", "float16", "bfloat16")
CAUSAL_AT_END: Final[dict[str, Any]] = {"mask": "causal", "align": "bottom_right"}

# Of which :func:`~attnpanel.bench.certify.checks_sizes.many_heads` makes copies. Its six heads are
# no divisor of 65,536: a head whose number wraps around gets the output of another.
FEW_HEADS: Final = Request(2, 3, 3, 1, 9, 4, 4)
# Of which :func:`~attnpanel.bench.certify.checks_sizes.other_lengths` takes fewer keys, or queries.
OTHER_KEYS: Final = tuple(
    Request(1, 1, 1, 70, 832, 16, 16, dtype, **CAUSAL_AT_END) for dtype in DTYPES
)
OTHER_QUERIES: Final = tuple(
    Request(1, 1, 1, 384, 33, 16, 16, dtype, mask="key_padding", pad_lens=(29,)) for dtype in DTYPES
)
# Fewer channels: 9 to 136, and 133 to 260.
OTHER_WIDTHS: Final = (
    Request(1, 1, 1, 3, 17, 136, 136),
    Request(1, 1, 1, 3, 17, 260, 260, "bfloat16"),
)
# Fewer channels of values: 5 to 132.
OTHER_VALUE_WIDTHS: Final = (Request(1, 1, 1, 3, 17, 64, 132),)

SQUARES: Final = (
    Request(1, 1, 1, 1100, 1100, 64, 64),
    Request(1, 1, 1, 1056, 1056, 64, 64, "bfloat16"),
    Request(1, 1, 1, 1100, 1100, 128, 128, mask="causal"),
    Request(1, 1, 1, 1090, 1090, 128, 128, "bfloat16", mask="causal"),
    # Beyond 2,048 positions float16 has even numbers only.
    Request(1, 1, 1, 2100, 2100, 16, 16, "float16", mask="causal"),
    Request(1, 1, 1, 1030, 1030, 16, 16, "bfloat16", mask="window", window=300),
    Request(
        1, 1, 1, 700, 700, 16, 16, "float16",
        mask="causal_documents", mask_options=(("starts", (130, 401)),),
    ),
    # Beyond 2^25 scores, so judged in a sample.
    Request(1, 1, 1, 5900, 5900, 16, 16, "bfloat16", mask="causal"),
)  # fmt: skip
# Masks, and 16 bits, beyond what an index of 16 bits counts; long caches of wide heads.
BEYOND_16_BITS: Final = (
    Request(1, 1, 1, 3, 66_000, 8, 8, "float16", **CAUSAL_AT_END),
    Request(1, 1, 1, 2, 66_100, 8, 8, "bfloat16", mask="key_padding", pad_lens=(65_990,)),
    Request(1, 1, 1, 2, 66_200, 8, 8, mask="window", window=300, align="bottom_right"),
    Request(1, 1, 1, 66_000, 3, 8, 8, "bfloat16", mask="causal"),
    Request(1, 1, 1, 2, 9000, 128, 128, "bfloat16", **CAUSAL_AT_END),
    Request(1, 2, 1, 1, 12_000, 128, 128, "float16", mask="key_padding", pad_lens=(11_990,)),
)
# Query heads and key heads.
GROUPS: Final = (
    Request(1, 40, 8, 17, 45, 16, 16, "float16", **CAUSAL_AT_END),
    Request(1, 10, 2, 1, 45, 16, 16, "bfloat16"),
    Request(1, 12, 2, 19, 45, 16, 16, "bfloat16", **CAUSAL_AT_END),
    Request(1, 14, 2, 21, 45, 16, 16, **CAUSAL_AT_END),
    Request(1, 28, 4, 1, 45, 16, 16, "float16"),
    Request(1, 12, 1, 23, 45, 16, 16),
    Request(1, 24, 2, 1, 45, 16, 16, "float16"),
    Request(1, 24, 1, 3, 45, 16, 16, "bfloat16", **CAUSAL_AT_END),
    Request(1, 48, 1, 3, 45, 16, 16, "bfloat16"),
    Request(1, 12, 4, 25, 45, 16, 16),
    Request(1, 24, 8, 1, 45, 16, 16, "bfloat16"),
)
MANY: Final = (
    Request(1, 64, 64, 20, 35, 16, 16, "bfloat16", mask="causal"),
    Request(9, 2, 2, 21, 35, 32, 32, "float16"),
    Request(17, 4, 2, 19, 21, 16, 16),
)
SIZES: Final = (
    # Channels that fill no vector, over many keys.
    Request(1, 2, 1, 9, 300, 33, 33, "float16"),
    Request(1, 2, 1, 20, 520, 100, 100, "bfloat16", **CAUSAL_AT_END),
    Request(1, 1, 1, 70, 270, 11, 11),
    # More than 256 channels, and those of latent caches.
    Request(1, 2, 1, 70, 70, 320, 320, "float16", mask="causal"),
    Request(1, 1, 1, 40, 40, 384, 384, mask="causal"),
    Request(1, 2, 1, 33, 90, 512, 512, "bfloat16", **CAUSAL_AT_END),
    *(Request(1, 2, 2, 70, 70, 192, 128, dtype, mask="causal") for dtype in DTYPES),
    Request(1, 16, 1, 4, 131, 576, 512, "bfloat16", **CAUSAL_AT_END),
    Request(1, 16, 1, 1, 131, 576, 512, "float16", mask="key_padding", pad_lens=(120,)),
    # float64, whose other cases are short.
    Request(1, 1, 1, 200, 150, 16, 16, "float64", **CAUSAL_AT_END),
    Request(1, 2, 1, 1, 300, 80, 80, "float64"),
)
# Heads, key heads and widths of known models, a few tokens each, and usual batches.
MODELS: Final = (
    Request(1, 32, 8, 3, 70, 128, 128, "bfloat16", **CAUSAL_AT_END),
    Request(1, 32, 32, 2, 35, 128, 128, "float16", **CAUSAL_AT_END),
    Request(1, 64, 8, 1, 67, 128, 128, "bfloat16"),
    Request(1, 28, 4, 3, 35, 128, 128, **CAUSAL_AT_END),
    Request(1, 40, 40, 2, 20, 128, 128, "bfloat16", **CAUSAL_AT_END),
    Request(1, 16, 2, 3, 35, 256, 256, "bfloat16", **CAUSAL_AT_END),
    Request(1, 128, 128, 1, 20, 192, 128, "bfloat16", **CAUSAL_AT_END),
    Request(1, 71, 1, 2, 35, 64, 64, "bfloat16", **CAUSAL_AT_END),
    Request(1, 25, 25, 20, 20, 64, 64, "float16", mask="causal"),
    Request(8, 12, 12, 5, 5, 64, 64, mask="key_padding", pad_lens=(5, 4, 3, 2, 1, 5, 4, 3)),
    Request(16, 8, 8, 2, 35, 64, 64, "float16"),
    Request(32, 8, 2, 1, 40, 128, 128, "bfloat16", mask="key_padding",
            pad_lens=tuple(range(40, 8, -1))),
)  # fmt: skip
# One query, or a few, of long caches of grouped heads; of powers of two, too.
DECODING: Final = (
    Request(2, 4, 2, 1, 2048, 64, 64, "bfloat16"),
    Request(1, 4, 2, 1, 4096, 128, 128, "float16"),
    Request(1, 4, 2, 1, 8192, 128, 128, "bfloat16", **CAUSAL_AT_END),
    Request(1, 1, 1, 1, 32_768, 64, 64),
    Request(3, 2, 1, 1, 1536, 128, 128, "bfloat16", mask="key_padding", pad_lens=(1536, 1, 640)),
    Request(1, 4, 2, 4, 1100, 128, 128, "float16", **CAUSAL_AT_END),
    Request(1, 2, 1, 1, 1100, 256, 256, "bfloat16"),
    Request(1, 2, 1, 2, 2100, 256, 128, **CAUSAL_AT_END),
)
# Squares of whole blocks in 16 bits, and what else the other lists have in few dtypes or sizes.
WHOLE_BLOCKS: Final = (
    Request(1, 2, 1, 512, 512, 128, 128, "bfloat16", mask="causal"),
    Request(2, 2, 1, 256, 256, 64, 64, "float16", mask="causal", bias=True),
    Request(1, 1, 1, 256, 256, 64, 64, "bfloat16"),
    Request(1, 1, 1, 270, 70, 256, 256, "bfloat16"),
    Request(1, 2, 1, 130, 1, 64, 64, "float16"),
    Request(1, 1, 1, 70, 33, 16, 16, scale=1.0),
    Request(1, 2, 1, 70, 70, 16, 16, "float64", mask="causal", bias=True),
    Request(1, 2, 1, 1, 70, 128, 128, "float64"),
    Request(2, 2, 1, 1, 35, 32, 32, "bfloat16", mask="key_padding", pad_lens=(0, 35)),
)


def long_cases() -> tuple[Case, ...]:
    """Return the cases, the same on every machine."""
    requests = (
        FEW_HEADS,
        *OTHER_KEYS,
        *OTHER_QUERIES,
        *OTHER_WIDTHS,
        *OTHER_VALUE_WIDTHS,
        *SQUARES,
        *BEYOND_16_BITS,
        *GROUPS,
        *MANY,
        *SIZES,
        *MODELS,
        *DECODING,
        *WHOLE_BLOCKS,
    )
    return tuple(Case(request) for request in requests)
