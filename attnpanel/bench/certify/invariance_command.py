"""The command `python -m bench invariance`: how far the laws of serving hold, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attnpanel.bench.certify.serving import Invariance, describe_invariance, measure_invariance
from attnpanel.bench.certify.serving_laws import LAWS
from attnpanel.bench.product.tables import markdown
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from attnpanel.kernels.request import DType

DTYPES: Final[tuple[DType, ...]] = ("float32", "float16", "bfloat16")


def invariance_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench invariance`."""
    laws = "; ".join(f"{name}: {law.words}" for name, law in LAWS.items())
    parser.description = f"Compare arrangements of calls that must give the same rows. {laws}."
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these implementations alone")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES)


def invariance_command(options: argparse.Namespace) -> None:
    """Measure every implementation that computes a dtype here, and print a table for each."""
    chosen = (
        [find_implementation(name) for name in options.only] if options.only else IMPLEMENTATIONS
    )
    for dtype in options.dtype:
        rows = {row.name: measure_invariance(row, dtype) for row in chosen}
        print(f"{dtype}\n\n{invariance_table(rows)}\n", flush=True)


def invariance_table(rows: Mapping[str, Sequence[Invariance]]) -> str:
    """Return the results of implementations in one dtype, a row for each that computes it."""
    lines = [
        [name, *map(describe_invariance, found)]
        for name, found in rows.items()
        if any(one.result != "unsupported" for one in found)
    ]
    return markdown(["implementation", *LAWS], lines)
