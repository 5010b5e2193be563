"""The command `python -m bench false-alarms`: whether a certificate fails correct code.

Certifies implementations that are right on random cases, of which each is drawn anew, and counts
those that fail.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from attnpanel.attention.mask_table import find_mask, mask_kinds
from attnpanel.bench.certify.cases import Case, example_mask
from attnpanel.bench.certify.certificate import certify
from attnpanel.bench.certify.varied_cases import (
    EXACT_KINDS,
    KINDS,
    drawn_mask,
)
from attnpanel.bench.product.tables import markdown
from attnpanel.kernels import find_implementation
from attnpanel.kernels.request import DType, Request

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from attnpanel.bench.certify.case import InputKind

# Kernels of different design: whole matrices and blocks, weights in 16 and 32 bits, scores in 16.
CORRECT: Final = (
    *("numpy-naive", "numpy-row-blocked", "numpy-online"),
    *("torch-eager", "torch-multihead", "torch-sdpa-math", "torch-sdpa-flash"),
)
# Longest keys; scores of a case take at most this many cells.
LONGEST: Final = 4096
MAX_CELLS: Final = 2**19
KINDS_OF: Final[dict[DType, tuple[InputKind, ...]]] = {
    "float64": (*EXACT_KINDS, "wide", "vast", "zeros", "rising"),
    "float32": (*EXACT_KINDS, "wide", "vast", "zeros", "rising"),
    "float16": (*KINDS, "low", "wide", "zeros"),
    "bfloat16": (*KINDS, "low", "wide", "vast", "zeros"),
}
WIDTHS: Final = (8, 16, 32, 64, 80, 96, 128, 192, 256)


def random_cases(seed: int) -> Iterator[Case]:
    """Yield random cases without end: any mask, shape, dtype, kind, bias, scale and temperature."""
    rng = np.random.default_rng(seed)
    while True:
        yield _draw(rng)


def _draw(rng: np.random.Generator) -> Case:
    def one(*choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    def length(most: int) -> int:
        return int(np.exp(rng.uniform(0, np.log(most))).round())

    dtype = one(*get_args(DType))
    batch, kv_heads, group = one(1, 1, 2), one(1, 2), one(1, 1, 2)
    key_len = length(LONGEST)
    query_len = key_len if rng.random() < 0.3 else length(300)
    query_len = max(1, min(query_len, MAX_CELLS // (key_len * batch * kv_heads * group)))
    width = one(*WIDTHS)
    mask = one(*mask_kinds())
    aligned = find_mask(mask).aligned
    request = Request(
        batch=batch,
        heads=kv_heads * group,
        kv_heads=kv_heads,
        query_len=query_len,
        key_len=key_len,
        head_dim=width,
        value_dim=width if rng.random() < 0.7 else one(*WIDTHS),
        dtype=dtype,
        align=one("top_left", "bottom_right") if aligned else "top_left",
        bias=bool(rng.random() < 0.3),
        scale=None if rng.random() < 0.6 else float(rng.uniform(0.01, 1) * one(1, 1, -1)),
        temperature=1.0 if rng.random() < 0.6 else float(10 ** rng.uniform(-0.5, 2)),
        **(
            drawn_mask(rng, mask, query_len, key_len, batch)
            if rng.random() < 0.5
            else example_mask(mask, query_len, key_len, batch)
        ),
    )
    return Case(request, one(*KINDS_OF[dtype]), int(rng.integers(2**32)))


def false_alarms_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench false-alarms`."""
    parser.description = (
        "Certify implementations that are right on random cases, and exit with 1 if one fails."
    )
    parser.add_argument("--cases", type=int, default=1000, metavar="N", help="of each (1000)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the cases; drawn anew by default")
    parser.add_argument("--only", nargs="+", default=CORRECT, metavar="NAME")


def false_alarms_command(options: argparse.Namespace) -> None:
    """Certify each implementation on its random cases and print the counts.

    Raises
    ------
    ValueError
        If a case fails or raises; the message has their number.
    """
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    print(f"seed {seed}, {options.cases} cases each\n", flush=True)
    rows, wrong = [], []
    for number, name in enumerate(options.only):
        counts, worst, failed = certified(name, seed + number, options.cases)
        wrong += [f"{name}: {case.name}: {'; '.join(why)}" for case, why in failed]
        largest = [f"{worst.get(dtype, 0.0):.2f}" for dtype in get_args(DType)]
        rows.append([name, str(counts["pass"]), str(len(failed)), *largest])
        print(f"{name}: {counts['pass']} passed, {len(failed)} failed", flush=True)
    head = ["implementation", "passed", "failed", *(f"{dtype}: units" for dtype in get_args(DType))]
    print(f"\n{markdown(head, rows)}")
    if wrong:
        print("\n".join(["", *wrong]))
        raise ValueError(f"{len(wrong)} certificates of correct code failed")


def certified(
    name: str, seed: int, count: int
) -> tuple[Counter[str], dict[str, float], list[tuple[Case, tuple[str, ...]]]]:
    """Certify an implementation on as many random cases as it supports.

    Returns
    -------
    counts : Counter
        Of verdicts.
    worst : dict of str to float
        Largest error in units, by dtype.
    failed : list of case and reasons
    """
    implementation = find_implementation(name)
    counts: Counter[str] = Counter()
    worst: dict[str, float] = {}
    failed = []
    for case in random_cases(seed):
        if counts.total() - counts["unsupported"] >= count:
            break
        if implementation.unsupported(case.request):
            continue
        found = replace(certify(implementation, case), implementation=name)
        counts[found.verdict] += 1
        if found.verdict in ("fail", "error"):
            failed.append((case, found.reasons))
        dtype = case.request.dtype
        worst[dtype] = max(worst.get(dtype, 0.0), found.max_ratio or 0.0)
    return counts, worst, failed
