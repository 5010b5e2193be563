"""What is known of an implementation before it is certified: its source and its declarations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attnpanel.bench.certify.cases import SQUARE
from attnpanel.bench.certify.checks_hidden import describe_leaks
from attnpanel.bench.certify.checks_visible import describe_swallowed
from attnpanel.bench.certify.function_observation import ONE_HEAD
from attnpanel.bench.certify.gradients_certificate import DTYPES, unsupported_gradients
from attnpanel.bench.certify.gradients_units import passing_units
from attnpanel.bench.certify.plain_gradients import NO_GRADIENTS
from attnpanel.bench.certify.sixteen_bits import describe_rounding, rounding_places
from attnpanel.bench.certify.subject import Subject, describe_subject

if TYPE_CHECKING:
    from attnpanel.kernels.implementation import Implementation


@dataclass(frozen=True)
class Description:
    """An implementation in words.

    Attributes
    ----------
    subject : Subject
    framework : str
    dtypes : tuple of str
    properties : dict of str to str
        What it declares, or what a function was seen to do, by name.
    limits : str
        What it can't run.
    gradient_limits : dict of str to float
        The largest error of a gradient that passes in a dtype, in units.
    """

    subject: Subject
    framework: str
    dtypes: tuple[str, ...]
    properties: dict[str, str]
    limits: str
    gradient_limits: dict[str, float]


def describe(implementation: Implementation, name: str, subject: Any) -> Description:
    """Describe an implementation that was made of a subject, a function or itself."""
    return Description(
        subject=describe_subject(subject, name),
        framework=implementation.framework,
        dtypes=tuple(implementation.dtypes),
        properties={
            "a query without keys": implementation.empty_rows,
            "rounded to 16 bits besides the output": describe_rounding(implementation),
            "what leaks from hidden keys": describe_leaks(implementation),
            "nan and inf that need not show": describe_swallowed(implementation),
            "inputs read in place": ", ".join(sorted(implementation.reads_in_place)) or "none",
            "returned": ", ".join(sorted(implementation.returns)),
        },
        limits=implementation.limits,
        gradient_limits={
            dtype: passing_units(rounding_places(implementation, replace(SQUARE, dtype=dtype)))
            for dtype in DTYPES
        },
    )


def why_no_gradients(implementation: Implementation, device: str) -> str:
    """Return why an implementation gives no gradients of one head in any dtype, or nothing."""
    if implementation.gradients is None:
        return NO_GRADIENTS if implementation.framework == "numpy" else "it declares no gradients"
    found = [
        unsupported_gradients(implementation, replace(ONE_HEAD, dtype=dtype, device=device))
        for dtype in DTYPES
    ]
    return "" if [] in found else found[0][0]
