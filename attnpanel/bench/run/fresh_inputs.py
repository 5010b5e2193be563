"""Inputs for timed calls: each call gets numbers and memory that no earlier call had."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.certify.cases import make_inputs
from attnpanel.bench.certify.gradients_context import draw_output_gradient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.cases import Case
    from attnpanel.kernels.request import Inputs


@dataclass(frozen=True, eq=False)
class Variation:
    """How one call's inputs differ from those of the case.

    Attributes
    ----------
    query_shift, key_shift : int
        Queries, and keys with their values, are rotated by so many positions.
    key_signs : float array of shape (Hkv, 1, D)
        1 or -1 for each channel of the keys.
    value_signs : float array of shape (Hkv, 1, Dv)
        The same for the values.
    """

    query_shift: int
    key_shift: int
    key_signs: NDArray[np.float32]
    value_signs: NDArray[np.float32]


class InputSource:
    """Varies the inputs of a case, as fast as they can be copied.

    Rotations and signs keep the distribution of the inputs and every rounding. They are drawn from
    the operating system's entropy, so no implementation can foresee them. Those of the keys change
    every score, which nothing but the products gives: a result of other inputs that is rotated, or
    whose signs are changed, is wrong. The mask and the bias keep their values.

    Parameters
    ----------
    case : Case
    """

    def __init__(self, case: Case) -> None:
        self._request = case.request
        self._base = make_inputs(case)
        self._given: NDArray[np.floating] | None = None
        self._rng = np.random.default_rng()

    def draw(self) -> Variation:
        """Return a random variation."""
        request = self._request
        return Variation(
            int(self._rng.integers(request.query_len)),
            int(self._rng.integers(request.key_len)),
            self._signs(request.head_dim),
            self._signs(request.value_dim),
        )

    def _signs(self, channels: int) -> NDArray[np.float32]:
        shape = (self._request.kv_heads, 1, channels)
        return self._rng.choice(np.array([-1, 1], np.float32), shape)

    def output_gradient(self, variation: Variation) -> NDArray[np.floating]:
        """Return a newly allocated gradient of the output; its rows move with the queries."""
        if self._given is None:
            self._given = draw_output_gradient(self._request)
        return np.roll(self._given, variation.query_shift, axis=2)

    def inputs(self, variation: Variation) -> Inputs:
        """Return newly allocated inputs; equal for equal variations."""
        base = self._base
        key = np.roll(base.key, variation.key_shift, axis=2)
        key *= variation.key_signs.astype(key.dtype)
        value = np.roll(base.value, variation.key_shift, axis=2)
        value *= variation.value_signs.astype(value.dtype)
        return replace(
            base,
            query=np.roll(base.query, variation.query_shift, axis=2),
            key=key,
            value=value,
            mask=None if base.mask is None else base.mask.copy(),
            bias=None if base.bias is None else base.bias.copy(),
        )


def name_of_changed(given: tuple[Any, ...], expected: tuple[Any, ...]) -> str:
    """Return which of the inputs, or gradient of the output, of a call was written to, if any."""
    for one, other in zip(given, expected, strict=True):
        if isinstance(one, np.ndarray):
            if not np.array_equal(one, other):
                return "the output's gradient"
            continue
        for item in fields(one):
            before, after = getattr(other, item.name), getattr(one, item.name)
            if before is not None and not np.array_equal(after, before):
                return str(item.name)
    return ""


def input_bytes(inputs: Inputs) -> int:
    """Return the memory of the inputs."""
    arrays = (inputs.query, inputs.key, inputs.value, inputs.mask, inputs.bias)
    return sum(array.nbytes for array in arrays if array is not None)
