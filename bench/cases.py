"""What is computed: requests, the numbers they are computed from, and which are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np

from attnpanel.kernels.request import DType, Inputs, Request
from bench.rounding import round_to

InputKind = Literal["randn", "peaked", "outlier", "large"]


@dataclass(frozen=True)
class Case:
    """One attention call to be certified or timed.

    Attributes
    ----------
    request : Request
    kind : {"randn", "peaked", "outlier", "large"}
        How the numbers are drawn. Never uniform in 0..1: near-equal weights are the easiest case.
    seed : int
    """

    request: Request
    kind: InputKind = "randn"
    seed: int = 0

    @property
    def name(self) -> str:
        """What tells it from every other, in words: ``causal B1 H8 T1024 D64 float32 randn``."""
        request = self.request
        parts = [
            request.mask,
            request.align if request.align != "top_left" else "",
            "" if request.pad_lens is None else "pad " + ",".join(map(str, request.pad_lens)),
            "" if request.window is None else f"window {request.window}",
            f"B{request.batch}",
            f"H{request.heads}" + f"/{request.kv_heads}" * (request.kv_heads != request.heads),
            f"T{request.query_len}",
            f"S{request.key_len}" if request.key_len != request.query_len else "",
            f"D{request.head_dim}",
            f"Dv{request.value_dim}" if request.value_dim != request.head_dim else "",
            request.dtype,
            self.kind,
            "bias" if request.bias else "",
            "" if request.scale is None else f"scale {request.scale:g}",
            "" if request.temperature == 1 else f"temperature {request.temperature:g}",
            request.device if request.device != "cpu" else "",
            f"seed {self.seed}" if self.seed else "",
        ]
        return " ".join(part for part in parts if part)


def make_inputs(case: Case) -> Inputs:
    """Draw the numbers of a case: the same ones on every machine, and in every dtype but rounded.

    - ``"randn"``: standard normal.
    - ``"peaked"``: each query points at one key, 24 nats above the others at scale
      ``1 / sqrt(D)``; some of those keys are masked.
    - ``"outlier"``: channel 0 of query and key is 8 times, one token's value 100 times the rest.
    - ``"large"``: query and key 8 times, value 100 times standard normal.

    A bias is twice standard normal. Numbers in 0..1 are no kind: they make near-equal weights.

    Parameters
    ----------
    case : Case

    Returns
    -------
    Inputs
        Rounded to the request's dtype, the mask as the request has it.
    """
    request = case.request
    rng = np.random.default_rng(case.seed)
    batch, heads, kv_heads = request.batch, request.heads, request.kv_heads
    query = rng.standard_normal((batch, heads, request.query_len, request.head_dim))
    key = rng.standard_normal((batch, kv_heads, request.key_len, request.head_dim))
    value = rng.standard_normal((batch, kv_heads, request.key_len, request.value_dim))
    bias = None
    if request.bias:
        drawn = 2 * rng.standard_normal((heads, request.query_len, request.key_len))
        bias = round_to(drawn, request.dtype)
    match case.kind:
        case "randn":
            pass
        case "peaked":
            target = rng.integers(request.key_len, size=(batch, heads, request.query_len, 1))
            pointed_at = np.take_along_axis(
                np.repeat(key, heads // kv_heads, axis=1), target, axis=2
            )
            query = 0.5 * query + 24 / np.sqrt(request.head_dim) * pointed_at
        case "outlier":
            query[..., 0] *= 8
            key[..., 0] *= 8
            value[..., request.key_len // 2, :] *= 100
        case "large":
            query, key, value = 8 * query, 8 * key, 100 * value
    return Inputs(
        query=round_to(query, request.dtype),
        key=round_to(key, request.dtype),
        value=round_to(value, request.dtype),
        mask=request.visible(),
        bias=bias,
    )


# The axes have distinct prime sizes, so that none can pass for another.
PRIMES: Final = Request(2, 3, 3, 5, 7, 11, 13)
# What more kernels can run: one channel count, and T = S too.
SAME_DIMS: Final = replace(PRIMES, value_dim=11)
SQUARE: Final = replace(SAME_DIMS, key_len=5)
GROUPED: Final = replace(SAME_DIMS, heads=6, kv_heads=3)
# Longer than the blocks of 128 queries and 512 keys that kernels work in, and a multiple of none.
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

CERTIFICATE_CASES: Final[tuple[Case, ...]] = (
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
    # Rows that see no key: padded queries, a sequence without a token, two queries too many.
    Case(replace(SAME_DIMS, mask="padding", pad_lens=(2, 4))),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(5, 0))),
    Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 0), bias=True)),
    Case(replace(SAME_DIMS, query_len=7, key_len=5, mask="causal", align="bottom_right")),
    # Grouped queries, one query, one key, a scale of one's own.
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
    # Hard numbers.
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
    # More than one block of every kernel.
    Case(BLOCKS),
    Case(replace(BLOCKS, query_len=541, mask="causal")),
    Case(replace(BLOCKS, mask="causal", align="bottom_right"), "peaked"),
    Case(replace(BLOCKS, mask="key_padding", pad_lens=(257,)), "outlier"),
    Case(replace(BLOCKS, mask="window", window=131), "large"),
    Case(replace(BLOCKS, dtype="bfloat16")),
    Case(replace(BLOCKS, dtype="float16", query_len=541, mask="causal")),
    # Where empty rows are nan, they reach the row before them if a matrix product reads past the
    # end of a row: oneDNN's with AMX before PR 5723, where S is no multiple of 32.
    Case(Request(1, 2, 2, 200, 200, 16, 16, "bfloat16", mask="padding", pad_lens=(100,))),
)
