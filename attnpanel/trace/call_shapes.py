"""Rules that the shapes of a call's arrays obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.attention.validation import check_number

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_query_key(query: tuple[int, ...], key: tuple[int, ...]) -> None:
    """Raise ValueError unless query and key agree in B and D, and H is a multiple of Hkv."""
    if (query[0], query[3]) != (key[0], key[3]):
        raise ValueError(f"query and key must agree in B and D; got {query} and {key}")
    if query[1] % key[1]:
        raise ValueError(
            f"query heads must be a multiple of key heads; got {query[1]} and {key[1]}"
        )


def check_four_axes(name: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless there are four axes, none of them empty."""
    if len(shape) != 4 or 0 in shape:
        raise ValueError(f"{name} must have four axes, none of them empty; got shape {shape}")


def check_broadcasts(name: str, shape: tuple[int, ...], full: tuple[int, ...]) -> None:
    """Raise ValueError unless a shape broadcasts to (B, H, T, S)."""
    if not broadcasts(shape, full):
        raise ValueError(f"{name} must broadcast to (B, H, T, S) = {full}; got shape {shape}")


def broadcasts(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other without adding to it."""
    if len(shape) > len(full):
        return False
    return all(size in (1, limit) for size, limit in zip(shape[::-1], full[::-1], strict=False))


def checked_soft_cap(soft_cap: float) -> float:
    """Return a soft cap, or raise ValueError unless it is positive and within float32."""
    check_number("soft_cap", soft_cap)
    with np.errstate(over="ignore", under="ignore"):
        stored = np.float32(soft_cap)
    if not 0 < stored < np.inf:
        raise ValueError(f"soft_cap must be positive, within float32; got {soft_cap!r}")
    return float(soft_cap)


def check_sinks(sinks: NDArray[Any] | None, heads: int) -> None:
    """Raise ValueError unless there is one sink a head."""
    if sinks is not None and sinks.shape != (heads,):
        raise ValueError(f"sinks must have shape (H,) = {(heads,)}; got {sinks.shape}")
