"""Find the windows of a picture that layers attend in, as Swin's: each window is a sequence."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import TYPE_CHECKING, Any

from attnpanel.trace.picture import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from attnpanel.trace import AttentionCall

MAX_STAGES = 8  # each joins patches 2 × 2
WINDOWS = re.compile(r"win(dow)?_?(s(ize)?)?$")
SHIFT = re.compile(r"shift_size$")


def window_grids(
    model: nn.Module,
    calls: Sequence[AttentionCall],
    sizes: Sequence[tuple[int, int]],
    batch: int,
) -> Iterator[Grid]:
    """Yield a grid for each kind of windows, with the layers that have it.

    Parameters
    ----------
    model : torch.nn.Module
    calls : sequence of AttentionCall
        Of them, calls over square windows that tile a stage of the picture, of modules that speak
        of windows: as many sequences may be interleaved over it, as MobileViT's.
    sizes : sequence of (rows, columns)
        Of the patches, before stages join them.
    batch : int
        How many images the model was given.
    """
    modules = dict(model.named_modules())
    found: dict[tuple[int, int, int, tuple[int, int]], dict[str, None]] = {}
    for call in calls:
        tiled = _windows(call, sizes, batch)
        if tiled is not None and _attribute(modules, call.layer, WINDOWS):
            kind = (*tiled, _shift(modules, call.layer))
            found.setdefault(kind, {})[call.layer] = None
    for (side, down, across, shift), layers in found.items():
        windows = (down, across)
        yield Grid(side, side, side**2, layers=tuple(layers), windows=windows, shift=shift)


def _windows(
    call: AttentionCall, sizes: Sequence[tuple[int, int]], batch: int
) -> tuple[int, int, int] | None:
    """Return a window's side, and how many there are down and across; None if there are none."""
    side = math.isqrt(call.query_len)
    if call.kind != "self" or not call.query_len == call.key_len == side**2:
        return None
    for (rows, columns), stage in product(sizes, range(MAX_STAGES)):
        (down, below), (across, right) = divmod(rows >> stage, side), divmod(columns >> stage, side)
        count = down * across
        if not below and not right and count > 1 and call.batch == count * batch:
            return side, down, across
    return None


def _shift(modules: dict[str, Any], layer: str) -> tuple[int, int]:
    """Return by how much a layer's windows are moved."""
    shift = _attribute(modules, layer, SHIFT) or 0
    return (shift, shift) if isinstance(shift, int) else (int(shift[0]), int(shift[1]))


def _attribute(modules: dict[str, Any], layer: str, name: re.Pattern[str]) -> Any:
    """Return what a layer's module, or the first one around it, has under a name; None if none."""
    while layer:
        for attribute, value in vars(modules.get(layer, object)).items():
            if name.match(attribute):
                return value
        layer = layer.rpartition(".")[0]
    return None
