"""The weights of all heads at one step as bytes: what the page draws, small enough to keep many."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from attnpanel.trace import Trace

# Layers, heads, queries, keys; each far above what a tiny model has.
MOST: Final = (16, 64, 512, 512)
MOST_CELLS: Final = 4_000_000
HEADER: Final = np.dtype("<u2")


@dataclass(frozen=True)
class Frame:
    """Weights from 0 to 1 as bytes from 0 to 255.

    Attributes
    ----------
    layers, heads, length : int
    cells : bytes
        ``layers × heads × length × length``, keys fastest.
    """

    layers: int
    heads: int
    length: int
    cells: bytes


def pack_frame(trace: Trace) -> bytes:
    """Return the weights of every head of a trace of one sequence, deflated."""
    weights = np.stack([[call.weights(head) for head in range(call.heads)] for call in trace.calls])
    shape = np.array(weights.shape, dtype=HEADER).tobytes()
    cells = np.rint(np.clip(weights, 0, 1) * 255).astype(np.uint8).tobytes()
    return shape + zlib.compress(cells, 6)


def unpack_frame(data: bytes) -> Frame:
    """Read what :func:`pack_frame` wrote, as from a file that somebody else may have written.

    Raises
    ------
    ValueError
        If it is anything else; nothing large is unpacked before its size is known.
    """
    start = 4 * HEADER.itemsize
    shape = np.frombuffer(data[:start], dtype=HEADER).tolist() if len(data) > start else []
    fits = len(shape) == 4 and all(0 < size <= most for size, most in zip(shape, MOST, strict=True))
    if not fits or shape[2] != shape[3] or math.prod(shape) > MOST_CELLS:
        raise ValueError(f"a picture of attention must have a shape up to {MOST}; got {shape}")
    size = math.prod(shape)
    inflate = zlib.decompressobj()
    try:
        cells = inflate.decompress(data[start:], size + 1)
    except zlib.error as error:
        raise ValueError(f"a picture of attention is damaged: {error}") from None
    if len(cells) != size:
        raise ValueError(f"a picture of attention must have {size} cells; got {len(cells)}")
    layers, heads, length, _ = shape
    return Frame(layers, heads, length, cells)
