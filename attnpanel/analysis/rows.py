"""What each row of a head's weights says; the numbers about a head are means of these."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Positions:
    """Where some queries stand among the keys; the same for every head, so made once for all.

    Attributes
    ----------
    queries : int array of shape (R,)
        The position of each query among the keys; it may lie outside them.
    key_len : int
        S, the number of keys.
    names : int array of shape (S,), or None
        A number a token: the same for the same token.
    """

    queries: NDArray[Any]
    key_len: int
    names: NDArray[Any] | None = None

    @cached_property
    def distances(self) -> NDArray[np.float32]:
        """``|i - j|`` of query i and key j, (R, S), in tokens."""
        return np.abs(self.queries[:, None] - np.arange(self.key_len)).astype(np.float32)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Whether something follows an earlier occurrence of a query's token, (R,)."""
        return np.asarray(self.induced.any(axis=-1))

    @cached_property
    def induced(self) -> NDArray[np.bool_]:
        """Whether a key follows an earlier occurrence of the query's token, (R, S)."""
        assert self.names is not None  # noqa: S101 - who asks for it has given tokens
        found = np.zeros((len(self.queries), self.key_len), dtype=bool)
        inside = (self.queries >= 0) & (self.queries < self.key_len)
        own = self.names[self.queries[inside], None]
        found[inside, 1:] = own == self.names[:-1]
        return found & (np.arange(self.key_len) < self.queries[:, None])


def number_names(tokens: Sequence[str]) -> NDArray[Any]:
    """Return a number for each token, the same for the same token."""
    _, names = np.unique(np.array(tokens, dtype=object).astype(str), return_inverse=True)
    return np.asarray(names)


@dataclass(frozen=True, eq=False)
class Rows:
    """The weights of some queries of one head.

    Each number of theirs is a float64 array of shape (R,): nan where it has no meaning for a
    query, and for one that sees no key.

    Attributes
    ----------
    weights : float32 or float64 array of shape (R, S)
    positions : Positions
    """

    weights: NDArray[Any]
    positions: Positions

    @cached_property
    def entropy(self) -> NDArray[np.float64]:
        """``-Σ w log w``, in nats."""
        # 0 log 0 is 0: the logarithm is that of the smallest number, which 0 makes 0 again.
        tiny = np.finfo(self.weights.dtype).tiny
        return self._seen(-_dots(self.weights, np.log(np.maximum(self.weights, tiny))))

    @property
    def effective_keys(self) -> NDArray[np.float64]:
        """``exp(-Σ w log w)``, in keys."""
        return np.exp(self.entropy)

    @property
    def mean_distance(self) -> NDArray[np.float64]:
        """``Σ_j w_ij |i - j|``, in tokens."""
        return self._seen(_dots(self.weights, self.positions.distances))

    @property
    def previous_token(self) -> NDArray[np.float64]:
        """The weight on the key just before the query."""
        return self._on_line(-1)

    @property
    def diagonal(self) -> NDArray[np.float64]:
        """The weight on the query's own position."""
        return self._on_line(0)

    @property
    def first_key(self) -> NDArray[np.float64]:
        """The weight on the first key."""
        return self._seen(self.weights[:, 0].astype(float))

    @property
    def induction(self) -> NDArray[np.float64]:
        """The weight on what followed the same token before; nan for a token that is new."""
        taken = self._seen(_dots(self.weights, self.positions.induced))
        taken[~self.positions.repeats] = np.nan
        return taken

    @cached_property
    def _blind(self) -> NDArray[np.bool_]:
        return np.asarray(self.weights.max(axis=-1) == 0)

    def _seen(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        numbers[self._blind] = np.nan
        return numbers

    def _on_line(self, by: int) -> NDArray[np.float64]:
        keys = self.positions.queries + by
        rows = np.flatnonzero((keys >= 0) & (keys < self.positions.key_len))
        found = np.full(len(self.weights), np.nan)
        found[rows] = self.weights[rows, keys[rows]]
        return self._seen(found)


def _dots(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", one, other, dtype=one.dtype), dtype=float)
