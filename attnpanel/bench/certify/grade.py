"""Grade an implementation that does not claim to compute attention to rounding.

Quantised and sparse kernels compute something near attention. How near depends on the inputs, so a
grade is a number of one case and never a pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.bench.run.records import Grade

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Agreement


def grade_of(actual: NDArray[np.float64], expected: NDArray[np.floating]) -> Grade:
    """Compare two outputs, of any shape and of finite numbers.

    An output of zeros only has cosine 1 with itself, else 0; its relative error is infinite where
    the reference is 0, which counts as the largest number.
    """
    right = expected.astype(np.float64)
    error = actual - right
    sizes = float(np.linalg.norm(actual)) * float(np.linalg.norm(right))
    same = float(not error.any())
    magnitude, missed = float(np.abs(right).sum()), float(np.abs(error).sum())
    return Grade(
        # Rounding may exceed 1 by an ulp.
        cosine=min(float((actual * right).sum()) / sizes, 1.0) if sizes else same,
        relative_l1=missed / magnitude if magnitude else missed and np.finfo(float).max,
        rmse=float(np.sqrt((error**2).mean())),
    )


def describe_grade(agreement: Agreement) -> str:
    """Return a grade in words; empty without one."""
    grade = agreement.grade
    if grade is None:
        return ""
    words = f"cosine {grade.cosine:.6f}, relative L1 {grade.relative_l1:.2g}, RMSE {grade.rmse:.2g}"
    known = agreement.max_ratio
    return words if known is None else f"{words}, worst {known:.3g} units"


def graded(context: CertificateContext, agreement: Agreement) -> Agreement:
    """Give a certificate whose checks passed a grade in place of a pass."""
    if agreement.verdict != "pass":
        return agreement
    seeing = np.broadcast_to(context.nonempty_rows, context.output.shape)
    if not seeing.any():
        return replace(agreement, verdict="unsupported", reasons=("no query sees a key",))
    actual, expected = context.output[seeing], context.reference.output[seeing]
    if not np.isfinite(actual).all():
        wrong = int((~np.isfinite(actual)).sum())
        why = f"a graded output must be finite where a query sees a key; {wrong} elements are not"
        return replace(agreement, verdict="fail", reasons=(why,))
    found = replace(agreement, verdict="graded", grade=grade_of(actual, expected))
    why = f"not attention to rounding: {context.implementation.graded}"
    return replace(found, reasons=(why, describe_grade(found)))
