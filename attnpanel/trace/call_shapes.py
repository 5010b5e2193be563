"""Rules that the shapes of a call's arrays obey."""

from __future__ import annotations


def check_query_key(query: tuple[int, ...], key: tuple[int, ...]) -> None:
    """Raise ValueError unless query and key agree in B and D, and H is a multiple of Hkv."""
    if (query[0], query[3]) != (key[0], key[3]):
        raise ValueError(f"query and key must agree in B and D; got {query} and {key}")
    if query[1] % key[1]:
        raise ValueError(
            f"query heads must be a multiple of key heads; got {query[1]} and {key[1]}"
        )


def broadcasts(shape: tuple[int, ...], full: tuple[int, ...]) -> bool:
    """Whether an array of one shape broadcasts to the other without adding to it."""
    if len(shape) > len(full):
        return False
    return all(size in (1, limit) for size, limit in zip(shape[::-1], full[::-1], strict=False))
