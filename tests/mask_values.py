"""Values of what mask kinds need, drawn from the ranges that the table gives them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from attnpanel.attention.mask_rules import evaluate, parse
from attnpanel.attention.mask_table import MaskKind, MaskParameter, MaskValue

UNLIMITED = 12  # stands for no limit: beyond every length drawn in the tests


@st.composite
def mask_values(draw: st.DrawFn, row: MaskKind, query_len: int, key_len: int) -> dict[str, Any]:
    """What one kind needs at these lengths, by name."""
    lengths = {"T": query_len, "S": key_len}
    values = {}
    for parameter in row.parameters:
        limit = UNLIMITED
        if parameter.limit is not None:
            limit = evaluate(parse(parameter.limit), lengths)
        values[parameter.name] = draw(
            between(parameter, evaluate(parse(parameter.low), lengths), limit)
        )
    return values


def between(parameter: MaskParameter, low: int, high: int) -> st.SearchStrategy[MaskValue]:
    """A number in a range, or increasing ones where the parameter is a list of positions."""
    if not parameter.positions:
        return st.integers(low, high)
    return st.sets(st.integers(low, high), max_size=4).map(lambda found: tuple(sorted(found)))
