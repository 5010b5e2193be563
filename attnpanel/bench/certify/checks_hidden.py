"""The check of what keys that no query may attend to can do to the output by holding nan or inf.

They are the uninitialised tail of a key-value cache, and what a mask hides from every query. A
weight of 0 times nan is nan, so most kernels leak it: each declares what it leaks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.checks_invariants import of_values
from attnpanel.bench.certify.context import make_check
from attnpanel.bench.certify.judgement import argmax_index
from attnpanel.bench.certify.reference import visible_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.implementation import HiddenContent, Implementation
    from attnpanel.kernels.request import Inputs

# What is written, even channels and odd ones; infinities of both signs.
CONTENTS: Final[dict[HiddenContent, tuple[str, tuple[float, float]]]] = {
    "key nan": ("key", (np.nan, np.nan)),
    "key inf": ("key", (np.inf, -np.inf)),
    "value nan": ("value", (np.nan, np.nan)),
    "value inf": ("value", (np.inf, -np.inf)),
}


def hidden_contents(context: CertificateContext) -> Check | None:
    """Check that nothing but what the implementation declares leaks from hidden keys."""
    declared = context.implementation.hidden_leaks
    if declared is None:
        return None
    hidden = unseen_ends(context)
    if not hidden.any():
        return None
    for content in CONTENTS:
        if content in declared:
            continue
        with np.errstate(invalid="ignore", over="ignore"):  # NumPy warns of what is declared
            results = context.run_all(poisoned(context.inputs, hidden, content))
        output = results["output"]
        same = (output == context.output) | (np.isnan(output) & np.isnan(context.output))
        wrong = context.nonempty_rows & ~same
        if wrong.any():
            at = argmax_index(wrong)
            return make_check(
                "hidden contents",
                f"{content} of keys hidden from every query must not change a bit, as declared; "
                f"{context.output[at]:.9g} became {output[at]:.9g} at {at}",
            )
        if content.startswith("value") and (found := of_values(context, results)):
            return make_check("hidden contents", f"{content} of hidden keys: {found}")
    return make_check("hidden contents", "")


def describe_leaks(implementation: Implementation) -> str:
    """Return what an implementation declares to leak from hidden keys, in words."""
    leaks = implementation.hidden_leaks
    if leaks is None:
        return "not declared"
    return ", ".join(content for content in CONTENTS if content in leaks) or "nothing"


def unseen_ends(context: CertificateContext) -> NDArray[np.bool_]:
    """Return the keys before the first and after the last that any query sees, (B or 1, S)."""
    visible = visible_keys(context.case.request, context.inputs)
    seen = np.asarray(visible.any(axis=(1, 2)))
    from_start = np.logical_or.accumulate(seen, axis=1)
    from_end = np.logical_or.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(~(from_start & from_end))


def poisoned(inputs: Inputs, hidden: NDArray[np.bool_], content: HiddenContent) -> Inputs:
    """Return inputs whose hidden keys, (B or 1, S), hold nan or inf in key or value."""
    name, numbers = CONTENTS[content]
    array = getattr(inputs, name)
    written = np.resize(np.array(numbers, array.dtype), array.shape[-1])
    return replace(inputs, **{name: np.where(hidden[:, None, :, None], written, array)})
