"""Inputs that Python and JavaScript draw alike, bit for bit: integer hashes and exact scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

import numpy as np

from attnpanel.bench.certify.cases import make_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.cases import Case
    from attnpanel.kernels.request import Inputs

# As in js/offline_bench/inputs.js.
GOLDEN: Final = 0x9E3779B9
FACTORS: Final = (0x7FEB352D, 0x846CA68B)
WORDS_A_NUMBER: Final = 4
# The mean of the sum of eight numbers of 16 bits, and what makes its variance 1.
MEAN: Final = 4 * 65535
SCALE: Final = float(np.sqrt(1.5)) / 65536


class SharedGenerator:
    """Random numbers of a seed, by the two methods of NumPy's generator that inputs take.

    A counter is hashed (Wellons' lowbias32) to 32 bits a word. A normal number is the sum of eight
    halves of words, up to 4.9 standard deviations.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int) -> None:
        self._start = int(_hashed(np.array([seed & 0xFFFFFFFF], np.uint32))[0])
        self._drawn = 0

    def _words(self, count: int) -> NDArray[np.uint32]:
        counter = np.arange(self._drawn, self._drawn + count, dtype=np.uint64)
        self._drawn += count
        return _hashed((counter * GOLDEN + self._start).astype(np.uint32))

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Return nearly normal numbers of mean 0 and variance 1."""
        words = self._words(WORDS_A_NUMBER * int(np.prod(size))).reshape(-1, WORDS_A_NUMBER)
        total = ((words & 0xFFFF) + (words >> 16)).sum(axis=1, dtype=np.int64)
        return np.asarray((total - MEAN) * SCALE, np.float64).reshape(size)

    def integers(self, high: int, *, size: Any) -> NDArray[np.int64]:
        """Return integers from 0 to `high`, which is excluded."""
        return (self._words(int(np.prod(size))) % high).astype(np.int64).reshape(size)


def _hashed(words: NDArray[np.uint32]) -> NDArray[np.uint32]:
    for shift, factor in zip((16, 15), FACTORS, strict=True):
        words = np.asarray((words ^ (words >> shift)) * np.uint32(factor), np.uint32)
    return np.asarray(words ^ (words >> 16), np.uint32)


def shared_inputs(case: Case) -> Inputs:
    """Return the inputs of a case as the page draws them."""
    return make_inputs(case, SharedGenerator(case.seed))


def inputs_digest(inputs: Inputs) -> int:
    """Return a CRC-32 of the inputs as float32 and of the mask as bytes."""
    digest = 0
    for array in (inputs.query, inputs.key, inputs.value, inputs.bias):
        if array is not None:
            digest = crc32(np.ascontiguousarray(array, "<f4").tobytes(), digest)
    if inputs.mask is not None:
        digest = crc32(np.ascontiguousarray(inputs.mask, np.uint8).tobytes(), digest)
    return digest
