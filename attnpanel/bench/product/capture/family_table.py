"""`python -m bench families`: what a capture gets of each family, and how far it is off."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.product.capture.families import (
    EAGER_ONLY,
    FAMILIES,
    build,
    inputs_for,
    own_weights,
)
from attnpanel.bench.product.capture.families_in_pieces import PIECES, built
from attnpanel.bench.product.tables import markdown
from attnpanel.models.capture.capture import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.trace import Trace

HEAD = ("family", "attention", "calls", "worst weight error", "outputs", "layers captured")


@dataclass(frozen=True)
class FamilyRow:
    """What a capture got of one family.

    Attributes
    ----------
    family, attention : str
        attention is that of ``attn_implementation``.
    calls : int
    worst_error : float or None
        Largest difference to the model's own weights; None if it returns none that correspond.
    same_outputs : bool
        Whether all outputs are bit-identical to those without a capture.
    coverage : str
        Layers captured of those that ran, and why the others were left out.
    """

    family: str
    attention: str
    calls: int
    worst_error: float | None
    same_outputs: bool
    coverage: str


def measure_families() -> Iterator[FamilyRow]:
    """Capture every family under each attention that its code has."""
    for family in FAMILIES:
        inputs = inputs_for(family)
        own = own_weights(family, inputs)
        for attention in ("eager",) if family in EAGER_ONLY else ("eager", "sdpa"):
            yield _row(family, attention, build(family, attention), inputs, own)
    for family in PIECES:
        model, inputs = built(family)
        yield _row(family, "its own", model, inputs, None)


def families_table(rows: Iterator[FamilyRow] | list[FamilyRow]) -> str:
    """Return the rows as Markdown."""
    return markdown(
        HEAD,
        (
            [
                row.family,
                row.attention,
                str(row.calls),
                "–" if row.worst_error is None else f"{row.worst_error:.0e}",
                "the same bits" if row.same_outputs else "DIFFERENT",
                row.coverage,
            ]
            for row in rows
        ),
    )


def _row(
    family: str, attention: str, model: Any, inputs: dict[str, Any], own: list[Any] | None
) -> FamilyRow:
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = model(**inputs).to_tuple()
        with capture(model) as trace:
            during = model(**inputs).to_tuple()
    pairs = zip(plain, during, strict=True)
    same = all(torch.equal(a, b) for a, b in pairs if isinstance(a, torch.Tensor))
    coverage = trace.coverage
    assert coverage is not None  # noqa: S101 - set when the block ends
    reasons = "; ".join(dict.fromkeys(coverage.left_out.values()))
    captured = f"{len(coverage.seen)} of {len(coverage.layers)}"
    sentence = f"{captured}: {reasons}" if reasons else captured
    return FamilyRow(family, attention, len(trace.calls), _worst(trace, own), same, sentence)


def _worst(trace: Trace, own: list[Any] | None) -> float | None:
    """Return the largest difference to the model's own weights; inf if the calls are others."""
    if own is None:
        return None
    if len(own) != len(trace.calls):
        return float("inf")
    differences = (
        np.abs(call.weights() - weights.numpy()).max()
        for call, weights in zip(trace.calls, own, strict=True)
    )
    return float(max(differences))
