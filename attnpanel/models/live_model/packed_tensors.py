"""Arrays joined into bytes, with the place of each: what js/live_model/stored_weights.js reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Bytes at which a tensor starts: a multiple of any number's width.
ALIGNMENT: Final = 16


def pack_tensors(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[dict[str, Any]], bytes]:
    """Return the places of arrays in their joined bytes, and those bytes."""
    tensors: list[dict[str, Any]] = []
    data = bytearray()
    for name, array in arrays.items():
        about = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
        tensors.append(about | {"at": len(data)})
        data += np.ascontiguousarray(array).tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    return tensors, bytes(data)
