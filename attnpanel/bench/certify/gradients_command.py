"""The command `python -m bench gradients`: a table of what the backward passes here are worth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.gradients_certificate import (
    DTYPES,
    certify_gradients,
    gradient_cases,
    unsupported_gradients,
)
from attnpanel.bench.certify.gradients_context import GradientContext, draw_output_gradient
from attnpanel.bench.certify.judged_rows import inputs_of
from attnpanel.bench.product.tables import markdown
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from attnpanel.bench.certify.gradients_certificate import GradientCertificate
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import DType

LENGTHS: Final = (32, 64, 128, 256, 512, 1024, 2048)


@dataclass
class GradientRow:
    """The certificates of one implementation, by dtype."""

    implementation: Implementation
    certificates: dict[DType, list[GradientCertificate]] = field(default_factory=dict)

    def cell(self, dtype: DType) -> str:
        """Return verdict, worst units and number of cases: ``pass 1.8 (11)``."""
        judged = [one for one in self.certificates[dtype] if one.verdict != "unsupported"]
        if not judged:
            return "none"
        worst = max((unit for one in judged for unit in one.units.values()), default=0.0)
        wrong = sum(one.verdict != "pass" for one in judged)
        if wrong:
            return f"FAIL {worst:.1f} ({wrong} of {len(judged)})"
        return f"pass {worst:.1f} ({len(judged)})"

    def notes(self) -> list[str]:
        """Return each reason with the number of cases that it holds for."""
        found = Counter(
            (one.verdict, reason)
            for certificates in self.certificates.values()
            for one in certificates
            if one.verdict == "unsupported"
            for reason in one.reasons
        )
        return [f"{reason} ({count} cases)" for (_, reason), count in found.items()]

    def failures(self) -> list[str]:
        """Return the cases that fail, and why."""
        return [
            f"{one.case}: {'; '.join(one.reasons)}"
            for certificates in self.certificates.values()
            for one in certificates
            if one.verdict in ("fail", "error")
        ]


def certified_row(implementation: Implementation, dtypes: Sequence[DType]) -> GradientRow:
    """Certify the gradients of an implementation in each dtype; in small cases if it compiles."""
    row = GradientRow(implementation)
    for dtype in dtypes:
        cases = gradient_cases(dtype, small=implementation.compiles)
        row.certificates[dtype] = [certify_gradients(implementation, case) for case in cases]
    return row


def gradients_table(rows: Sequence[GradientRow], dtypes: Sequence[DType]) -> str:
    """Return the table of verdicts, one row an implementation."""
    return markdown(
        ["implementation", *dtypes],
        [[row.implementation.name, *map(row.cell, dtypes)] for row in rows],
    )


def lengths_table(implementation: Implementation, dtype: DType) -> str:
    """Return the largest errors in units, and their rms, by the number of queries and keys.

    Raises
    ------
    ValueError
        If there are no gradients in this dtype here; the message gives the reason.
    """
    lines = []
    for length in LENGTHS:
        request = Request(1, 1, 1, length, length, 64, 64, dtype=dtype)
        if reasons := unsupported_gradients(implementation, request):
            raise ValueError("; ".join(reasons))
        case = Case(request)
        context = GradientContext(
            implementation, request, inputs_of(case), draw_output_gradient(request)
        )
        cells = []
        for name, actual in context.actual.items():
            rms = context.expected.statistics(name, actual)["rms"]
            cells.append(f"{context.expected.ratio(name, actual).max():.1f} / {rms:.2f}")
        lines.append([str(length), *cells])
    return markdown(["T = S", "dQ", "dK", "dV"], lines)


def gradients_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench gradients`."""
    parser.description = (
        "Certify the gradients of every implementation that declares some, and print the verdicts "
        "with the largest error in units."
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these implementations alone")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument(
        "--lengths",
        action="store_true",
        help="print errors by length instead, of --only (default torch-sdpa-flash)",
    )


def gradients_command(options: argparse.Namespace) -> None:
    """Certify gradients and print the table, or errors by length."""
    if options.lengths:
        for name in options.only or ["torch-sdpa-flash"]:
            for dtype in options.dtype:
                print(f"{name}, {dtype}: largest error in units / rms\n")
                print(lengths_table(find_implementation(name), dtype), "\n")
        return
    chosen = (
        [find_implementation(name) for name in options.only]
        if options.only
        else [one for one in IMPLEMENTATIONS if one.gradients is not None]
    )
    rows = [certified_row(implementation, options.dtype) for implementation in chosen]
    print(gradients_table(rows, options.dtype))
    for row in rows:
        for title, lines in (("not judged", row.notes()), ("failed", row.failures())):
            if lines:
                print(f"\n{row.implementation.name}, {title}:")
                print("\n".join(f"- {line}" for line in lines))
    if not options.only:
        others = [one.name for one in IMPLEMENTATIONS if one.gradients is None]
        print(f"\nNo gradients declared: {', '.join(others)}")
