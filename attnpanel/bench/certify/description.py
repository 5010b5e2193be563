"""What is known of an implementation before it is certified: its source and its declarations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnpanel.bench.certify.checks_hidden import describe_leaks
from attnpanel.bench.certify.sixteen_bits import describe_rounding
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
    """

    subject: Subject
    framework: str
    dtypes: tuple[str, ...]
    properties: dict[str, str]
    limits: str


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
            "inputs read in place": ", ".join(sorted(implementation.reads_in_place)) or "none",
            "returned": ", ".join(sorted(implementation.returns)),
        },
        limits=implementation.limits,
    )
