"""Metrics of each row of a head's weights; a head's metrics are means of these."""

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
    """Positions of some queries among the keys; shared by all heads.

    Attributes
    ----------
    queries : int array of shape (R,)
        The position of each query among the keys; may be outside them.
    key_len : int
        S, the number of keys.
    ids : int array of shape (S,), or None
        The id of each key's token; equal tokens have equal ids.
    """

    queries: NDArray[Any]
    key_len: int
    ids: NDArray[Any] | None = None

    def prepare(self) -> None:
        """Compute what all heads share, before threads read it."""
        _ = self.distances
        if self.ids is not None:
            _ = self.induced, self.repeats

    @cached_property
    def distances(self) -> NDArray[np.float32]:
        """``|i - j|`` of query i and key j, (R, S), in tokens."""
        return np.abs(self.queries[:, None] - np.arange(self.key_len)).astype(np.float32)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Whether a key follows an earlier occurrence of each query's token, (R,)."""
        return np.asarray(self.induced.any(axis=-1))

    @cached_property
    def induced(self) -> NDArray[np.bool_]:
        """Whether each key follows an earlier occurrence of the query's token, (R, S)."""
        assert self.ids is not None  # noqa: S101 - callers of this have passed tokens
        found = np.zeros((len(self.queries), self.key_len), dtype=bool)
        inside = (self.queries >= 0) & (self.queries < self.key_len)
        own = self.ids[self.queries[inside], None]
        found[inside, 1:] = own == self.ids[:-1]
        return found & (np.arange(self.key_len) < self.queries[:, None])


def token_ids(tokens: Sequence[str]) -> NDArray[Any]:
    """Return an id for each token; equal tokens have equal ids."""
    _, ids = np.unique(np.array(tokens, dtype=object).astype(str), return_inverse=True)
    return np.asarray(ids)


@dataclass(frozen=True, eq=False)
class RowMetrics:
    """Metrics of the weights of some queries of one head.

    Each is a float64 array of shape (R,): nan for a query for which it is not defined, and for a
    query that sees no key.

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
        # 0 log 0 is 0: the logarithm of the smallest positive number is finite, and times 0 is 0.
        tiny = np.finfo(self.weights.dtype).tiny
        return self._mask_empty(-_row_dots(self.weights, np.log(np.maximum(self.weights, tiny))))

    @property
    def effective_keys(self) -> NDArray[np.float64]:
        """``exp(-Σ w log w)``, in keys."""
        return np.exp(self.entropy)

    @property
    def mean_distance(self) -> NDArray[np.float64]:
        """``Σ_j w_ij |i - j|``, in tokens."""
        return self._mask_empty(_row_dots(self.weights, self.positions.distances))

    @property
    def previous_token(self) -> NDArray[np.float64]:
        """The weight on the key before the query's position."""
        return self._on_diagonal(-1)

    @property
    def diagonal(self) -> NDArray[np.float64]:
        """The weight on the query's own position."""
        return self._on_diagonal(0)

    @property
    def first_key(self) -> NDArray[np.float64]:
        """The weight on the first key."""
        return self._mask_empty(self.weights[:, 0].astype(float))

    @property
    def induction(self) -> NDArray[np.float64]:
        """The weight on tokens after earlier occurrences of the query's token; nan without one."""
        weights = self._mask_empty(_row_dots(self.weights, self.positions.induced))
        weights[~self.positions.repeats] = np.nan
        return weights

    @cached_property
    def _empty(self) -> NDArray[np.bool_]:
        return np.asarray(self.weights.max(axis=-1) == 0)

    def _mask_empty(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        values[self._empty] = np.nan
        return values

    def _on_diagonal(self, offset: int) -> NDArray[np.float64]:
        keys = self.positions.queries + offset
        rows = np.flatnonzero((keys >= 0) & (keys < self.positions.key_len))
        found = np.full(len(self.weights), np.nan)
        found[rows] = self.weights[rows, keys[rows]]
        return self._mask_empty(found)


def _row_dots(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", left, right, dtype=left.dtype), dtype=float)
