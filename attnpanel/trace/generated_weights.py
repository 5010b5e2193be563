"""Weights as `model.generate(output_attentions=True)` returns them: steps of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.as_numpy import as_floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def is_stepwise(given: Any) -> bool:
    """Whether weights are a sequence of steps, each a sequence of layers."""
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(
            isinstance(step, list | tuple)
            and bool(step)
            and all(layer is None or len(getattr(layer, "shape", ())) == 4 for layer in step)
            for step in given
        )
    )


def join_steps(
    name: str, steps: Sequence[Sequence[Any]], beams: NDArray[Any] | None, *, cross: bool
) -> list[NDArray[np.floating] | None]:
    """Stack the rows of all steps: one array (B, H, T, S) a layer.

    Parameters
    ----------
    name : str
        What to call them in an error.
    steps : sequence of sequences of arrays (B, H, T_step, S_step)
        The rows of each step, in order. S_step grows with the cache, is its whole length for a
        static cache, or its last keys for a sliding window.
    beams : int array of shape (B', steps), optional
        transformers' ``beam_indices``: the row of the batch that holds step t of each returned
        sequence; -1 after its end, where its rows become nan. B of the result is then B'.
    cross : bool
        Whether every step sees all keys, those of an encoder.

    Raises
    ------
    ValueError
        If the steps differ in their layers, heads or batch, or are no steps: if a later one is a
        whole sequence again.
    """
    count = len(steps[0])
    if any(len(step) != count for step in steps):
        counts = sorted({len(step) for step in steps})
        raise ValueError(f"{name} must have the same layers in every step; got {counts}")
    layers = zip(*steps, strict=True)
    return [
        None if parts[0] is None else _join(f"{name} of layer.{i}", list(parts), beams, cross=cross)
        for i, parts in enumerate(layers)
    ]


def _join(
    name: str, steps: list[Any], beams: NDArray[Any] | None, *, cross: bool
) -> NDArray[np.floating]:
    parts = [as_floats(f"{name}, step {t}", step) for t, step in enumerate(steps)]
    ended: list[NDArray[np.bool_] | None] = [None] * len(parts)
    if beams is not None and beams.shape[1] < len(parts):
        parts = parts[: beams.shape[1]]
    if beams is not None:
        ended = [beams[:, t] < 0 for t in range(len(parts))]
        # The first step may have run before the batch was repeated for the beams.
        parts = [
            part[np.maximum(beams[:, t], 0) * len(part) // len(parts[-1])]
            for t, part in enumerate(parts)
        ]
    if len({part.shape[:2] for part in parts}) != 1:
        shapes = [part.shape for part in parts[:3]]
        raise ValueError(f"{name} must agree in B and H in every step; got shapes {shapes}")
    again = next((t for t, part in enumerate(parts) if t and part.shape[2] == part.shape[3] > 1), 0)
    if again and not cross:
        raise ValueError(
            f"{name} must hold in each step the rows that it adds, as with a key/value cache; got "
            f"{parts[again].shape} in step {again}, a whole sequence. Several sequences go along "
            "B; without a cache, give the weights of the last step"
        )
    ends = [parts[0].shape[3]] * len(parts) if cross else _ends(parts)
    batch, heads = parts[0].shape[:2]
    rows = sum(part.shape[2] for part in parts)
    joined = np.zeros((batch, heads, rows, max(ends)), parts[0].dtype)
    row = 0
    for t, (part, end) in enumerate(zip(parts, ends, strict=True)):
        count, keys = part.shape[2:]
        here = joined[:, :, row : row + count]
        if keys > end:  # a static cache: its places after the last key are empty
            if part[..., end:].any():
                raise ValueError(f"{name} must have no weight on keys not read yet in step {t}")
            here[..., :end] = part[..., :end]
        else:
            here[..., end - keys : end] = part
        if ended[t] is not None:
            here[ended[t]] = np.nan
        row += count
    joined.flags.writeable = False
    return joined


def _ends(parts: list[NDArray[np.floating]]) -> list[int]:
    """Return how many keys had been read after each step."""
    lengths = [part.shape[3] for part in parts]
    read: list[int] = np.cumsum([part.shape[2] for part in parts]).tolist()
    if len(parts) > 1 and len(set(lengths)) == 1 and lengths[0] >= read[-1]:
        return read  # a static cache has its whole length in every step
    past = max(lengths[0] - read[0], 0)
    return [past + end for end in read]
