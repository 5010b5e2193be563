"""Cases of pairs that no other list has: long axes with groups, widths, masks, bias and scales.

The covering arrays end at T of 256 and S of 2,049; longer cases vary few factors. Each of these has
many pairs at once, most with one axis of a few tokens. Also as many sequences as queries or keys,
and more documents than masks are drawn with.
"""

from __future__ import annotations

from typing import Any, Final

from attnpanel.bench.certify.case import Case
from attnpanel.kernels.request import Request

AT_END: Final[dict[str, Any]] = {"align": "bottom_right"}
CAUSAL_AT_END: Final[dict[str, Any]] = {"mask": "causal", **AT_END}


def prefix(length: int) -> dict[str, Any]:
    """Return fields of a request with a prefix of so many keys."""
    return {"mask": "prefix", "mask_options": (("prefix_len", length),)}


def documents(*starts: int, kind: str = "documents") -> dict[str, Any]:
    """Return fields of a request with documents that start there."""
    return {"mask": kind, "mask_options": (("starts", starts),)}


LONG_QUERIES: Final = (
    Request(1, 9, 3, 1030, 9, 24, 16, "bfloat16", scale=0.3, temperature=4.0, **prefix(0)),
    Request(3, 1, 1, 1030, 9, 33, 33, bias=True, **documents(1, 2, kind="causal_documents")),
    Request(1, 1, 1, 1030, 9, 80, 80, mask="causal", bias=True, scale=-0.4),
    Request(1, 2, 2, 1030, 9, 32, 32, "bfloat16", bias=True, scale=-0.4, temperature=4.0,
            **prefix(1), **AT_END),
    Request(1, 1, 1, 1030, 9, 192, 192, "bfloat16", bias=True),
    Request(1, 1, 1, 1100, 15, 96, 96, "bfloat16", bias=True, scale=0.3, **documents(7, 8)),
    Request(1, 1, 1, 1100, 15, 320, 320, "float16", temperature=4.0, **CAUSAL_AT_END),
    Request(1, 1, 1, 1030, 9, 256, 256, "bfloat16", mask="window", window=1029, scale=-0.4,
            **AT_END),
    Request(1, 2, 2, 1100, 9, 16, 16, "float16", mask="padding", pad_lens=(9,), scale=-0.4,
            temperature=4.0),
    Request(1, 16, 2, 300, 20, 16, 16, "bfloat16"),
    Request(1, 4, 2, 300, 300, 64, 64, "bfloat16", mask="causal"),
)  # fmt: skip
LONG_KEYS: Final = (
    Request(1, 3, 1, 5, 4100, 33, 33, bias=True, scale=0.3),
    Request(1, 3, 1, 5, 530, 320, 320, "bfloat16", bias=True, **documents(288, 434, 435),
            **AT_END),
    Request(1, 9, 3, 5, 4100, 16, 16, "float16", bias=True, temperature=4.0, **prefix(3261),
            **AT_END),
    Request(1, 1, 1, 5, 4100, 320, 320, "float16", bias=True, scale=0.3),
    Request(2, 1, 1, 9, 4100, 24, 16, scale=-0.4, **prefix(3860), **AT_END),
    Request(3, 2, 1, 5, 4100, 32, 32, **prefix(256), **AT_END),
    Request(1, 1, 1, 5, 4100, 96, 96, "bfloat16"),
    Request(1, 2, 1, 5, 4100, 80, 80, scale=-0.4, temperature=4.0,
            **documents(400, 1136, 1984, 1985, kind="causal_documents"), **AT_END),
    Request(1, 1, 1, 5, 4100, 192, 192, "bfloat16"),
    Request(1, 1, 1, 9, 4100, 256, 256, scale=0.3, **CAUSAL_AT_END),
    Request(1, 2, 1, 3, 200, 112, 112, "float16"),
)  # fmt: skip
BOTH_LONG: Final = (
    Request(1, 1, 1, 260, 270, 16, 16),
    Request(1, 1, 1, 300, 270, 16, 16, "bfloat16", scale=-0.4, temperature=4.0),
    Request(1, 1, 1, 1100, 1030, 16, 16, mask="window", window=960, scale=0.3, **AT_END),
    Request(1, 1, 1, 530, 1030, 16, 16, "float16", scale=0.3, temperature=4.0, **CAUSAL_AT_END),
)
SHORT: Final = (
    Request(1, 9, 3, 5, 5, 96, 96, "bfloat16", mask="causal"),
    Request(1, 9, 3, 5, 5, 80, 80, mask="padding", pad_lens=(4,), scale=-0.4, temperature=4.0),
    Request(1, 3, 1, 5, 5, 192, 192, "bfloat16", bias=True, scale=-0.4),
    Request(1, 1, 1, 5, 5, 32, 32, "bfloat16", temperature=4.0),
    Request(1, 3, 1, 5, 5, 256, 256, "float16", mask="causal"),
    Request(1, 16, 2, 5, 5, 33, 33, "float16", mask="causal", bias=True, scale=0.3),
    Request(1, 1, 1, 9, 9, 320, 320, "float16", bias=True, scale=-0.4,
            **documents(7, 8, kind="causal_documents")),
    Request(3, 2, 1, 5, 5, 320, 320, scale=0.3, **prefix(0)),
    # As many sequences as queries, or as keys.
    Request(5, 3, 3, 5, 7, 11, 11, mask="key_padding", pad_lens=(7, 3, 1, 2, 5)),
    Request(7, 2, 1, 5, 7, 16, 16, "bfloat16", mask="key_padding", pad_lens=(7, 3, 1, 2, 5, 4, 6)),
    # Documents beyond those of a byte of bits, or of a word.
    Request(1, 2, 1, 70, 90, 16, 16, **documents(*range(2, 82, 2)), **AT_END),
    Request(1, 2, 1, 90, 90, 16, 16, "bfloat16",
            **documents(*range(1, 80, 4), kind="causal_documents")),
    Request(1, 2, 1, 70, 40, 128, 128, "float64"),
)  # fmt: skip


def paired_cases() -> tuple[Case, ...]:
    """Return the cases, the same on every machine."""
    requests = (*LONG_QUERIES, *LONG_KEYS, *BOTH_LONG, *SHORT)
    return tuple(Case(request) for request in requests)
