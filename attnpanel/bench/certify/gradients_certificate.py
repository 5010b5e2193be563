"""Certify the gradients of an implementation, and the cases that they are certified on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.cases import BLOCKS, GROUPED, PRIMES, SAME_DIMS, SQUARE, Case
from attnpanel.bench.certify.covering import covering_array
from attnpanel.bench.certify.gradients_checks import CHECKS, WITHOUT_CALLS
from attnpanel.bench.certify.gradients_context import GradientContext, draw_output_gradient
from attnpanel.bench.certify.judged_rows import inputs_of
from attnpanel.bench.certify.reference import visible_keys
from attnpanel.bench.certify.varied_cases import drawn_mask, masks
from attnpanel.bench.run.exception_text import format_exception
from attnpanel.kernels.request import Request

if TYPE_CHECKING:
    from attnpanel.bench.certify.cases import InputKind
    from attnpanel.bench.run.records import Check, Verdict
    from attnpanel.kernels.implementation import Implementation
    from attnpanel.kernels.request import DType

DTYPES: Final[tuple[DType, ...]] = ("float32", "float16", "bfloat16")
# Of more scores, only what one call shows is checked.
ALL_CHECKS_CELLS: Final = 2**18
SMALL: Final[tuple[tuple[Request, InputKind], ...]] = (
    (replace(SQUARE, mask="causal"), "randn"),
    (PRIMES, "randn"),
    (replace(GROUPED, mask="key_padding", pad_lens=(3, 5)), "randn"),
    (replace(GROUPED, mask="causal", align="bottom_right", scale=-0.25), "randn"),
    (replace(SAME_DIMS, bias=True, mask="causal", temperature=0.5), "peaked"),
    (replace(SAME_DIMS, mask="padding", pad_lens=(2, 4)), "outlier"),
)
AT_BLOCK_SIZE: Final[tuple[tuple[Request, InputKind], ...]] = (
    (BLOCKS, "randn"),
    (replace(BLOCKS, query_len=541, mask="causal"), "randn"),
    (replace(BLOCKS, heads=4, mask="window", window=131, align="bottom_right"), "peaked"),
    (replace(BLOCKS, heads=4, mask="key_padding", pad_lens=(257,), temperature=2.0), "randn"),
    (replace(BLOCKS, heads=1, kv_heads=1, query_len=31, key_len=8193), "randn"),
)
# Widths that kernels are compiled for, all keys seen; and one key head of many, in four sequences.
SPECIALISED: Final[tuple[tuple[Request, InputKind], ...]] = (
    *(
        (Request(1, 4, 2, 70, 97, d, d, mask="causal", align="bottom_right"), "randn")
        for d in (96, 128, 192, 256)
    ),
    (Request(4, 8, 1, 33, 65, 64, 64, mask="key_padding", pad_lens=(65, 40, 64, 65)), "randn"),
    # Values narrower than keys.
    (Request(1, 2, 1, 20, 37, 48, 32), "randn"),
    # Groups of three, five and seven; one query, or 63 keys, beyond blocks.
    (Request(1, 6, 2, 65, 127, 32, 32), "randn"),
    (Request(2, 5, 1, 17, 63, 16, 16, mask="causal", align="bottom_right"), "randn"),
    (Request(1, 7, 1, 65, 191, 24, 24), "randn"),
)
LONG: Final[tuple[tuple[Request, InputKind], ...]] = (
    (Request(1, 1, 1, 2048, 2048, 64, 64), "randn"),
    (Request(1, 1, 1, 2100, 70, 16, 16), "randn"),
    (Request(1, 1, 1, 97, 2305, 64, 64, mask="causal", align="bottom_right"), "randn"),
)


@dataclass(frozen=True)
class GradientCertificate:
    """What the checks found on one case.

    Attributes
    ----------
    case : str
    verdict : {"pass", "fail", "unsupported", "error"}
    reasons : tuple of str
        Why it failed, or isn't supported; else what was not judged.
    units : dict of str to float
        The largest error of each gradient, in units.
    checks : tuple of Check
    """

    case: str
    verdict: Verdict
    reasons: tuple[str, ...]
    units: dict[str, float]
    checks: tuple[Check, ...] = ()


def gradient_cases(dtype: DType, *, small: bool = False) -> tuple[Case, ...]:
    """Return the cases of gradients in a dtype; the small ones if each call compiles."""
    first, others = (
        tuple(Case(replace(request, dtype=dtype), kind) for request, kind in requests)
        for requests in (SMALL, AT_BLOCK_SIZE + SPECIALISED + LONG)
    )
    return first if small else first + _covering_cases(dtype) + others


def _covering_cases(dtype: DType) -> tuple[Case, ...]:
    """Return cases in which every two of the factors' levels meet; lengths leave remainders."""
    rng = np.random.default_rng(0)
    rows = covering_array(
        {
            "query_len": (1, 24, 64, 97, 130),
            "key_len": (1, 35, 128, 150, 258),
            "widths": ((16, 16), (64, 64), (80, 80), (128, 128), (32, 48)),
            "heads": ((1, 1, 1), (2, 2, 2), (1, 4, 1), (3, 4, 2)),
            "mask": masks(),
            "bias": (False, True),
            "scale": (None, -0.2, 0.4),
            "temperature": (1.0, 1.5),
        }
    )
    cases = []
    for seed, row in enumerate(rows, 1):
        (batch, heads, kv_heads), (head_dim, value_dim) = row.pop("heads"), row.pop("widths")
        kind, align = row.pop("mask")
        mask = drawn_mask(rng, kind, row["query_len"], row["key_len"], batch)
        request = Request(
            batch=batch,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            value_dim=value_dim,
            align=align,
            dtype=dtype,
            **mask,
            **row,
        )
        cases.append(Case(request, seed=seed))
    return tuple(cases)


def certify_gradients(
    implementation: Implementation, case: Case, *, until_failed: bool = False
) -> GradientCertificate:
    """Check the gradients of an implementation on a case against the reference and the laws.

    Where its weights are nan for a query without keys, so may its gradients be: such a case is not
    judged, and the reason says which of them are. With `until_failed`, no check is made after the
    first that fails.
    """
    request = case.request
    reasons = unsupported_gradients(implementation, request)
    if reasons:
        return GradientCertificate(case.name, "unsupported", tuple(reasons), {})
    context = GradientContext(
        implementation, request, inputs_of(case), draw_output_gradient(request, case.seed)
    )
    try:
        empty = ~visible_keys(request, context.inputs).any(axis=-1)
        if empty.any() and implementation.empty_rows != "zero":
            return _undefined(context, case)
        if not context.expected.linear:
            reason = "not judged: 16-bit scores err by more than weights err in proportion to"
            return GradientCertificate(case.name, "unsupported", (reason,), {})
        units = {
            name: float(context.expected.ratio(name, array).max())
            for name, array in context.actual.items()
        }
        checks: list[Check] = []
        for make in CHECKS if context.cells <= ALL_CHECKS_CELLS else WITHOUT_CALLS:
            checks += make(context)
            if until_failed and any(check.verdict == "fail" for check in checks):
                break
    except Exception as error:  # noqa: BLE001 - any exception is the verdict "error"
        return GradientCertificate(case.name, "error", (format_exception(error),), {})
    failed = tuple(f"{check.name}: {check.detail}" for check in checks if check.verdict != "pass")
    return GradientCertificate(
        case.name, "fail" if failed else "pass", failed, units, tuple(checks)
    )


def unsupported_gradients(implementation: Implementation, request: Request) -> list[str]:
    """Return the reasons why there are no gradients of this request; empty if there are."""
    if implementation.gradients is None:
        return ["it declares no gradients"]
    return implementation.unsupported(request) or implementation.gradients.unsupported(request)


def _undefined(context: GradientContext, case: Case) -> GradientCertificate:
    names = [name for name, array in context.actual.items() if not np.isfinite(array).all()]
    found = f"not finite in {', '.join(names)}" if names else "finite"
    declared = context.implementation.empty_rows
    reason = f"not judged: queries without keys are declared {declared}; gradients are {found}"
    return GradientCertificate(case.name, "unsupported", (reason,), {})
