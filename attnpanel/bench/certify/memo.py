"""A memo of references, so that certificates of one case in one process compute them once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from numpy.typing import NDArray

Result = TypeVar("Result")


class Memo:
    """Results by key, the latest up to a number of bytes; their arrays are made read-only."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._bytes = limit_bytes, 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], Result]) -> Result:
        """Return the result of this key; compute it if it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                kept: Result = self._kept[key][0]
                return kept
        result = compute()
        arrays = list(_arrays(result))
        for array in arrays:
            array.flags.writeable = False
        size = sum(array.nbytes for array in arrays)
        with self._lock:
            if key not in self._kept and size <= self._limit:
                self._kept[key] = result, size
                self._bytes += size
                while self._bytes > self._limit:
                    _, (_, dropped) = self._kept.popitem(last=False)
                    self._bytes -= dropped
        return result


def _arrays(result: object) -> Iterator[NDArray[Any]]:
    if isinstance(result, np.ndarray):
        yield result
    elif isinstance(result, tuple):
        for part in result:
            yield from _arrays(part)
    elif is_dataclass(result):
        for field in fields(result):
            yield from _arrays(getattr(result, field.name))
