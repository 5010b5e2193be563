"""Pack the weights of all heads at one training step into bytes, as the page draws them."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from attnpanel.trace import Trace

# Layers, heads, queries, keys; far above what a tiny model has.
MAX_SHAPE: Final = (16, 64, 512, 512)
MAX_CELLS: Final = 4_000_000
HEADER: Final = np.dtype("<u2")


@dataclass(frozen=True)
class Frame:
    """Weights from 0 to 1, stored as bytes from 0 to 255.

    Attributes
    ----------
    layers, heads, length : int
    cells : bytes
        ``layers × heads × length × length``, the key axis last.
    """

    layers: int
    heads: int
    length: int
    cells: bytes


def pack_frame(trace: Trace) -> bytes:
    """Return the weights of every head of a trace of one sequence, compressed."""
    weights = np.stack([[call.weights(head) for head in range(call.heads)] for call in trace.calls])
    shape = np.array(weights.shape, dtype=HEADER).tobytes()
    cells = np.rint(np.clip(weights, 0, 1) * 255).astype(np.uint8).tobytes()
    return shape + zlib.compress(cells, 6)


def unpack_frame(data: bytes) -> Frame:
    """Unpack what :func:`pack_frame` returned; the data is not trusted.

    Raises
    ------
    ValueError
        If it is anything else. The size is checked before anything is decompressed.
    """
    start = 4 * HEADER.itemsize
    shape = np.frombuffer(data[:start], dtype=HEADER).tolist() if len(data) > start else []
    fits = len(shape) == 4 and all(
        0 < size <= limit for size, limit in zip(shape, MAX_SHAPE, strict=True)
    )
    if not fits or shape[2] != shape[3] or math.prod(shape) > MAX_CELLS:
        raise ValueError(f"a frame of attention must have a shape up to {MAX_SHAPE}; got {shape}")
    size = math.prod(shape)
    inflate = zlib.decompressobj()
    try:
        cells = inflate.decompress(data[start:], size + 1)
    except zlib.error as error:
        raise ValueError(f"a frame of attention is damaged: {error}") from None
    if len(cells) != size:
        raise ValueError(f"a frame of attention must have {size} cells; got {len(cells)}")
    layers, heads, length, _ = shape
    return Frame(layers, heads, length, cells)
