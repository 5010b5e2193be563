"""Adds two rows to the table of masks before anything else of the package is imported.

A plugin of pytest (``-p tests.added_mask_rows``): see test_a_row_adds_a_mask_kind.py.
"""

from __future__ import annotations

from attnpanel.attention import mask_table
from attnpanel.attention.mask_table import MaskKind, MaskParameter

STRIDE = MaskParameter(
    "stride",
    "Stride",
    "A query sees every so many keys before it.",
    address="every",
    low="1",
    high="max(T, S)",
    start="2",
    example="3",
    limit=None,
)
CUTS = MaskParameter(
    "cuts",
    "Cuts",
    "Where a new stretch of keys begins.",
    address="cuts",
    start="[S // 2]",
    example="[S // 4, S // 2]",
    positions=True,
)

# A kind of one interval, with a list of positions; and one of many, with a number.
mask_table.MASKS = (
    *mask_table.MASKS,
    MaskKind(
        "stretches",
        "stretches",
        "A query sees the stretch it stands in.",
        (CUTS,),
        first="last_up_to(cuts, p, 0)",
        stop="first_after(cuts, p, S)",
    ),
    MaskKind(
        "strided",
        "strided",
        "A query sees every so many keys before it, itself included.",
        (STRIDE,),
        stop="p + 1",
        only="(p - j) % stride == 0",
    ),
)
