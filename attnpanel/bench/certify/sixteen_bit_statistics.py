"""Statistics of 16-bit outputs that tell wrong arithmetic from rounding, and their limits.

Each is about 1 or less for correct code. A *projection* on test values Y sums the errors of a head
with weights Y and divides by the standard deviation that rounding gives that sum, in which one
rounded weight moves its whole row::

    |Σ e Y| / sqrt(Σ (var - σ²) Y² + Σ_ij R² P_ij² (Y V^T)_ij² + Σ P² vs ((Y V^T) - (Y·o))²)

less what float32 may add (Σ f |Y|) and two last bits. Scores that are kept in 16 bits are often
equal, and equal scores of a row give equal weights, which are rounded alike. So what exceeds its
limit is judged again with ``Σ R² (Σ_j P_ij (Y V^T)_ij)²`` in place of the second term, the inner
sum over the keys of one score. With p = ulp² / 12 + v:

- **rms**: sqrt(Σ e² / p / (Σ var / p + 24)), also over each sixteenth of a head's rows;
- **gain**, Y = o / p: is the output too large by a factor?
- **row gain**: the root mean square of the gain of each row in its own deviations;
- **bias**, Y = 1 / p: is it shifted?
- **edge**, Y = P_ij V_j / p: is the first or the last key that a row sees weighed wrongly?
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.bench.certify.reference import query_blocks
from attnpanel.bench.certify.sixteen_bits import block_model, stored_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.bench.certify.sixteen_bits import BlockModel, RoundingPlaces
    from attnpanel.kernels.request import Inputs, Request

# The largest values that pass; see docs/bench.md for those of correct code.
LIMITS: Final = {
    "rms": 1.5,
    "rms of some rows": 2.0,
    "gain": 6.0,
    "row gain": 2.0,
    "bias": 6.0,
    "edge": 8.0,
}
# Scores in 16 bits err by more than the model's steps where several are rounded alike.
SCORE_LIMITS: Final = {**LIMITS, "rms": 3.0, "rms of some rows": 3.5}
# A few last bits more or less are no news: sums of squares of fewer elements are not judged.
MIN_ELEMENTS: Final = 512
FLIPS: Final = 24
# Rows' worth of gain that are no news: one row alone may be off by six deviations, as a head may.
ROWS: Final = 8
MIN_ROWS, PARTS = 64, 16


@dataclass
class Sums:
    """The sums of one test Y over the rows of a head."""

    value: list[NDArray[np.float64]] = field(default_factory=list)
    variance: list[NDArray[np.float64]] = field(default_factory=list)
    float32: list[NDArray[np.float64]] = field(default_factory=list)
    step: float = 0.0

    def ratio(self) -> float:
        """Return the projection, in standard deviations."""
        value, variance, float32 = (
            sum(float(part.sum()) for part in parts)
            for parts in (self.value, self.variance, self.float32)
        )
        excess = abs(value) - float32 - 2 * self.step
        return excess / float(np.sqrt(variance)) if excess > 0 and variance > 0 else 0.0


def head_statistics(
    request: Request,
    inputs: Inputs,
    output: NDArray[np.float64],
    places: RoundingPlaces,
    head: tuple[int, int],
    *,
    alike: bool = False,
) -> dict[str, float]:
    """Return the statistics of one head, by the names of `LIMITS`; those that apply.

    Parameters
    ----------
    request : Request
        Of a 16-bit dtype.
    inputs : Inputs
    output : float64 array of shape (B, H, T, Dv)
    places : RoundingPlaces
    head : (int, int)
        Batch entry and query head.
    alike : bool
        Whether weights of equal scores are rounded alike, where scores are kept in 16 bits.
    """
    tests: dict[str, Sums] = {name: Sums() for name in ("gain", "bias", "first key", "last key")}
    squares, due, row_gain = [], [], RowGain()
    elements = rows = 0
    for block in query_blocks(request, inputs, only=head):
        model = block_model(block, request, places)
        fine = model.fine
        if not fine.any():
            continue
        error, variance, plain = stored_error(_with_output(model, output[block.index]), model)
        own = np.maximum(variance - model.sigma2, 0)
        weight = np.where(fine[:, None], 1 / plain, 0)
        equal = _equal_scores(model.scores) if alike and model.scores is not None else None
        squares.append((error**2 / plain)[fine].sum(axis=1))
        due.append((variance / plain)[fine].sum(axis=1))
        elements += int(fine.sum()) * output.shape[3]
        rows += int(fine.sum())
        for name, test in _test_values(model, block.visible, weight):
            value, spread, float32 = _project(model, error, own, test, equal)
            sums = tests[name]
            sums.value.append(value)
            sums.variance.append(spread)
            sums.float32.append(float32)
            sums.step = max(sums.step, float((model.step * np.abs(test)).max()))
            if name == "gain":
                row_gain.add(model, own, test, (value, spread, float32))
    if not rows:
        return {}
    found = {name: tests[name].ratio() for name in ("gain", "bias")}
    found["edge"] = max(tests["first key"].ratio(), tests["last key"].ratio())
    if elements >= MIN_ELEMENTS:
        found |= _square_statistics(np.concatenate(squares), np.concatenate(due))
        found["row gain"] = row_gain.value()
    return found


class RowGain:
    """Root mean square over rows of each row's gain in its own standard deviations."""

    def __init__(self) -> None:
        self._found, self._expected, self._flip, self._row = 0.0, 0.0, 0.0, 0.0

    def add(
        self,
        model: BlockModel,
        own: NDArray[np.float64],
        test: NDArray[np.float64],
        projected: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    ) -> None:
        """Add the rows of a block."""
        value, variance, float32 = projected
        # In units of what an unknown last bit would give.
        unit = (model.step**2 / 12 * test**2).sum(axis=1) + variance - (own * test**2).sum(axis=1)
        ok = model.fine & (unit > 0)
        if not ok.any():
            return
        self._found += float((value[ok] ** 2 / unit[ok]).sum())
        expected = (variance + float32**2)[ok] / unit[ok]
        self._expected += float(expected.sum())
        self._row = max(self._row, float(expected.max()))
        flips = (model.step * test).max(axis=1)[ok] ** 2 / unit[ok]
        self._flip = max(self._flip, float(flips.max()))

    def value(self) -> float:
        """Return the statistic; two last bits, and `ROWS` rows, are no news."""
        due = self._expected + 2 * self._flip + ROWS * self._row
        return float(np.sqrt(self._found / due)) if due > 0 else 0.0


def _with_output(model: BlockModel, actual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace what other checks judge: rows that are not fine, and what is not finite."""
    keep = model.fine[:, None] & np.isfinite(actual)
    return np.where(keep, actual, model.output)


def _test_values(
    model: BlockModel, visible: NDArray[np.bool_], weight: NDArray[np.float64]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    yield "gain", model.output * weight
    yield "bias", weight
    key_len = visible.shape[1]
    if key_len > 1:
        rows = np.arange(len(visible))
        for name, at in (
            ("first key", visible.argmax(axis=1)),
            ("last key", key_len - 1 - visible[:, ::-1].argmax(axis=1)),
        ):
            yield name, weight * model.value[at] * model.weights[rows, at][:, None]


def _project(
    model: BlockModel,
    error: NDArray[np.float64],
    own: NDArray[np.float64],
    test: NDArray[np.float64],
    equal: tuple[NDArray[np.intp], NDArray[np.intp]] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each row's Σ e Y, its variance, and the most that float32 adds, (n,) each."""
    variance = (own * test**2).sum(axis=1)
    if model.rounded:
        through = test @ model.value.T  # (n, S)
        weights2 = model.weights**2
        if equal is None:
            variance += model.rounded * (weights2 * through**2).sum(axis=1)
        else:
            group, row = equal
            sums = np.bincount(group, (model.weights * through).ravel())
            variance += model.rounded * np.bincount(row, sums**2, len(variance))
        if model.subnormal is not None:
            variance += (model.subnormal * through**2).sum(axis=1)
        if model.score_variance is not None:
            through -= (test * model.output).sum(axis=1, keepdims=True)
            variance += (weights2 * model.score_variance * through**2).sum(axis=1)
    return (error * test).sum(axis=1), variance, (model.float32 * np.abs(test)).sum(axis=1)


def _equal_scores(
    scores: NDArray[np.floating],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the group of equal scores of a row that each score is in, and the row of each group.

    Scores are of shape (n, S), the groups of their shape, flat.
    """
    order = np.argsort(scores, axis=1, kind="stable")
    sorted_ = np.take_along_axis(scores, order, axis=1)
    first = np.ones(scores.shape, bool)
    first[:, 1:] = sorted_[:, 1:] != sorted_[:, :-1]
    group = np.empty(scores.shape, np.intp)
    np.put_along_axis(group, order, first.ravel().cumsum().reshape(scores.shape) - 1, axis=1)
    return group.ravel(), np.nonzero(first)[0]


def _square_statistics(squares: NDArray[np.float64], due: NDArray[np.float64]) -> dict[str, float]:
    found = {"rms": float(np.sqrt(squares.sum() / (due.sum() + FLIPS)))}
    if len(squares) >= MIN_ROWS:
        part = len(squares) // PARTS
        sums = (np.add.reduceat(x[: part * PARTS], np.arange(PARTS) * part) for x in (squares, due))
        square, expected = sums
        found["rms of some rows"] = float(np.sqrt((square / (expected + FLIPS)).max()))
    return found
