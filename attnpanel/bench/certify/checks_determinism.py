"""The check that a call is deterministic and leaves its inputs unchanged."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from attnpanel.bench.certify.context import make_check, returned_arrays
from attnpanel.bench.certify.judged_rows import inputs_of
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.request import Inputs

if TYPE_CHECKING:
    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check


def determinism(context: CertificateContext) -> Check:
    """Check that equal inputs give bit-identical results and that inputs are not modified."""
    again = context.call()
    first = {name: to_float64(array) for name, array in returned_arrays(context.raw).items()}
    call = context.implementation.prepare(
        context.inputs, context.case.request, threads=context.threads
    )
    found = []
    for what, raw in (("a second call", again), ("a second preparation", call())):
        results = {name: to_float64(array) for name, array in returned_arrays(raw).items()}
        found += [
            f"{what} must return the same {name} bit by bit; got another"
            for name, array in first.items()
            if name not in results or not np.array_equal(results[name], array, equal_nan=True)
        ]
    before, after = inputs_of(context.case), context.inputs
    found += [
        f"{field.name} must be left as it was; it was written to"
        for field in fields(Inputs)
        if not np.array_equal(getattr(before, field.name), getattr(after, field.name))
    ]
    found += [
        f"{name} must be left as it was, in any layout and with what lies around it; it was "
        "written to"
        for name in context.written
    ]
    return make_check("determinism", "; ".join(found))
