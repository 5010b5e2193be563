"""Certify the gradients of the implementations of a plan, each in its process."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from attnpanel.bench.certify.gradients_certificate import gradient_cases
from attnpanel.bench.run.child import ChildFailure
from attnpanel.bench.run.records import GradientAgreement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.children import Children
    from attnpanel.bench.run.planning import Plan
    from attnpanel.bench.run.progress import Kind
    from attnpanel.bench.run.recording import Record


def gradients_of_plan(
    plan: Plan,
    record: Record,
    children: Children,
    step: Callable[[Kind, str, str, str], AbstractContextManager[None]],
) -> None:
    """Certify what has no certificate yet, on the devices and in the dtypes of the plan's cases.

    Parameters
    ----------
    plan : Plan
    record : Record
        Receives the certificates.
    children : Children
    step : function of kind, implementation, case and words
        Enters a step of the run; see :class:`attnpanel.bench.run.progress.Step`.
    """
    for name in plan.implementations:
        for case in _cases(plan):
            row = name, case.name
            if row in record.gradients:
                continue
            with step("certify", *row, f"certify gradients of {name}: {case.name}"):
                found = _certificate(name, case, children)
            if found is None:
                break
            record.gradients[row] = found


def _cases(plan: Plan) -> Iterator[Case]:
    kinds = dict.fromkeys((case.request.device, case.request.dtype) for case in plan.cases)
    for device, dtype in kinds:
        for case in gradient_cases(dtype):
            yield replace(case, request=replace(case.request, device=device))


def _certificate(name: str, case: Case, children: Children) -> GradientAgreement | None:
    """Return a certificate, or None if the implementation declares no gradients."""
    try:
        found: GradientAgreement | None = children.ask(name, "certify_gradients", case)
    except ChildFailure as failure:
        return GradientAgreement(name, case.name, "error", (str(failure),), {})
    return found
