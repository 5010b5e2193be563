"""Learn from a model as it runs which channels its rotary position embedding rotates together.

A rotation negates one half of the channels and puts it before the other half (`rotate_half`), or
beside it (`rotate_every_two`), takes neighbours for a complex number, or halves the channels. Where
the parts lie in the memory they share tells the layout. A rotation keeps the length of each pair:
only if the query of the next call has those lengths is the layout that of the call.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.trace.rotary import Rotary

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from attnpanel.trace.rotary import RotaryLayout

# Rotated tensors that are remembered: the query's and the key's, and those of an image's two axes.
REMEMBERED = 4
# Tokens of which pairs are compared, the last ones: position 0 is not rotated.
TOKENS = 16
# Relative rounding of a pair's length: query and cosines in bfloat16.
TOLERANCE = 2e-2


class RotaryWatch:
    """Notes rotations, and says which layout made a query."""

    def __init__(self) -> None:
        self._negated: tuple[Tensor, Tensor] | None = None  # a negated half, and what it was
        # The layout and its parts before the rotation; whether there surely was one.
        self._rotated: list[tuple[Rotary, Tensor, Tensor, bool]] = []

    def note(self, kind: str, args: tuple[Any, ...], result: Any) -> None:
        """Note a function by its kind, of those of `torch_functions.ROTATION_KINDS`."""
        try:
            self._note(kind, args, result)
        except (RuntimeError, TypeError, AttributeError, IndexError):  # no ordinary tensors
            self._negated = None

    def _note(self, kind: str, args: tuple[Any, ...], result: Any) -> None:
        if kind == "negate":
            self._negated = (result, args[0])
        elif kind == "join":
            self._note_join(args[0])
        elif kind == "halve":
            if len(result) == 2:
                self._remember(*result, certain=False)
        elif args[0].shape[-1] == 2:
            self._remember(args[0][..., 0], args[0][..., 1])

    def _note_join(self, parts: Any) -> None:
        """Note two halves that were joined, the first of them negated."""
        negated, self._negated = self._negated, None
        if negated is None or not isinstance(parts, (tuple, list)) or len(parts) != 2:
            return
        if parts[0] is negated[0]:
            self._remember(parts[1], negated[1])

    def _remember(self, first: Tensor, second: Tensor, *, certain: bool = True) -> None:
        layout = _layout(first, second) if first.dim() == 4 else None
        if layout is not None:
            found = (Rotary(layout, 2 * first.shape[-1]), first, second, certain)
            self._rotated = [*self._rotated[1 - REMEMBERED :], found]

    def take(self, query: NDArray[np.floating]) -> Rotary | None:
        """Return the layout of the rotation that gave a query (B, H, T, D), and forget all.

        None where none of those noted did: another way of rotating, or none.
        """
        rotated, self._rotated, self._negated = self._rotated, [], None
        for rotary, first, second, certain in rotated:
            with suppress(RuntimeError, TypeError):  # tensors without numbers
                if _is_rotation(query, rotary, first, second, certain=certain):
                    return rotary
        return None


def _layout(first: Tensor, second: Tensor) -> RotaryLayout | None:
    """Return the layout of two halves of one tensor's channels; None if they are none."""
    if first.shape != second.shape or first.stride() != second.stride():
        return None
    if first.untyped_storage().data_ptr() != second.untyped_storage().data_ptr():
        return None
    apart, step = second.storage_offset() - first.storage_offset(), first.stride(-1)
    if apart == step * first.shape[-1]:
        return "half_split"
    return "interleaved" if 2 * apart == step else None


def _is_rotation(
    query: NDArray[np.floating], rotary: Rotary, first: Tensor, second: Tensor, *, certain: bool
) -> bool:
    """Whether the pairs of a query are as long as these before the rotation, but for one factor.

    Unless it is `certain` that they were rotated, they must differ, too.
    """
    batch, heads, length, channels = query.shape
    if rotary.channels > channels:
        return False
    if tuple(first.shape[:3]) == (batch, length, heads):
        first, second = first.transpose(1, 2), second.transpose(1, 2)
    if tuple(first.shape[:3]) != (batch, heads, length):
        return False
    tokens = slice(-TOKENS, None)
    halves = [_numbers(half[0, :, tokens]) for half in (first, second)]
    pairs = query[0, :, tokens].astype(np.float32)[..., rotary.pairs]
    before, after = np.hypot(*halves), np.hypot(pairs[..., 0], pairs[..., 1])
    if not certain and np.allclose(halves[0], pairs[..., 0], rtol=TOLERANCE):
        return False
    # Models with stretched frequencies scale query and key by a factor (YaRN).
    norm = float(np.linalg.norm(before))
    if not 0 < norm < np.inf:
        return False
    factor = float(np.linalg.norm(after)) / norm
    return bool(np.allclose(after, factor * before, rtol=TOLERANCE, atol=TOLERANCE * before.max()))


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return numbers
