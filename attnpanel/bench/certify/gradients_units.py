"""What rounding does to gradients of attention: a variance for each element.

Sums over queries or keys are of random sign, so the unit of a gradient is the root of a variance;
a bound by the sum of magnitudes would be looser by the root of their number. With P, dP, dS, delta
and c as in :mod:`attnpanel.bench.certify.gradients`, u the roundoff of the arithmetic (float32's
for 16-bit inputs), e(a, b) the stepwise cost of a product
(:func:`attnpanel.bench.certify.error_units.condition`), and r(x) = ulp(x)² / 12 where x is
stored in 16 bits, else 0::

    a_ij   = [u ((|scale| e(q, k) + |bias|) / temperature + 2)]²    (+ the variance of the scores,
                                                                     where they are stored)
    vP_ij  = a_ij + Σ_k P_ik² a_ik          relative: the normaliser moves with the largest weights
    row_i  = u (log2 S + 4 + max_j |x_ij|)  of P = exp(x - lse): the lse's own, common to a row
    vdP_ij = (u e(dO, V))² + r(dP)
    vd_i   = (u e(dO, O))² + (u (log2 S + 4))² Σ_d dO² (P |V|)² + Σ_j dS² vP
             + u² (S/4 Σ_j P² dP² + S/12 delta²) + Σ_d dO² r(O) + Σ_j r(P) dP²
    VS     = dS² (vP + 2 row²) + P² vdP + r(dS) + (dP - delta)² r(P)
    acc(n, Σ x², Σ x) = u² (n/4 Σ x² + n/12 (Σ x)²)         a sum of n terms

    unit(dQ)²    = c² [VS @ K² + vd (P @ K)²] + (row dQ)² + acc(S)
    unit(dK)²    = c² (VS + P² vd)ᵀ @ Q² + acc(g T)
    unit(dV)²    = (P² (vP + row²) + r(P))ᵀ @ dO² + acc(g T)
    unit(dbias)² = (VS + P² vd) / temperature², summed over the batch

In 16 bits with grouped heads, r of each head's dK and dV is added: autograd stores them before it
sums. Each unit also has u |x| and the smallest number, times what it is multiplied by.

Where autograd differentiates the maximum that a formula subtracts from the scores, too, the key
that has it receives -Σ_j dS_ij, which is 0 but for its error: the variance
``vd + Σ_j (VS + u² S/4 dS²)`` is added there to that of dS. So it is at each running maximum, of
which code that reads block by block differentiates some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.bench.certify.gradients import empty_gradients, group_gradients, groups, place
from attnpanel.bench.certify.rounding import SIXTEEN_BIT, SMALLEST, UNIT_ROUNDOFF, round_to
from attnpanel.bench.certify.sixteen_bits import LINEAR, last_bit, score_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.bench.certify.gradients import Group, GroupGradients
    from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
    from attnpanel.kernels.request import DType, Inputs, Request

    Wide = NDArray[np.floating]

# The largest error that passes, in units; with weights in 16 bits, of which correct code needs 5.
PASSING: Final = 8.0
PASSING_STORED: Final = 10.0


@dataclass(frozen=True, eq=False)
class GroupModel:
    """Units of a group's gradients, and what their errors have in common.

    Attributes
    ----------
    units : dict of str to float array
        ``"query"`` (g, T, D), ``"key"`` (S, D), ``"value"`` (S, Dv), ``"bias"`` (g, T, S).
    own : dict of str to float array
        The variance of the last product's sum alone, for query, key and value.
    score_variance, weight_variance : float array of shape (g, T, S)
        Of each dS and each P, independent of the others.
    delta_variance, row : float array of shape (g, T)
        Of each delta, and the relative error of a row's P, which reach whole rows.
    linear : bool
        False where scores in 16 bits err by more than weights err in proportion to.
    """

    group: Group
    found: GroupGradients
    factor: float
    units: dict[str, Wide]
    own: dict[str, Wide]
    score_variance: Wide
    weight_variance: Wide
    delta_variance: Wide
    row: Wide
    linear: bool

    def deviation(self, name: str, test: Wide, half: Wide) -> float:
        """Return the standard deviation of Σ error · test, for query, key or value.

        One rounded weight reaches every channel of its row and key, so elements aren't independent.
        """
        given, weights = self.group, self.found.weights
        own = (self.own[name] + half**2 / 3) * test**2
        if name == "value":
            moved = given.output_gradient @ test.T
            independent, common = self.weight_variance, weights * moved
        else:
            moved = test @ given.key.T if name == "query" else given.query @ test.T
            moved = self.factor * moved
            independent, common = self.score_variance, self.found.scores * moved
            by_delta = self.delta_variance * (weights * moved).sum(axis=-1) ** 2
            own = np.append(own.ravel(), by_delta.ravel())
        total = (independent * moved**2).sum() + own.sum()
        return float(np.sqrt(total + (self.row**2 * common.sum(axis=-1) ** 2).sum()))


def gradient_models(
    request: Request,
    inputs: Inputs,
    output_gradient: Wide,
    places: RoundingPlaces | None,
    *,
    through_maximum: bool = False,
) -> tuple[dict[str, Wide], dict[str, Wide], list[GroupModel]]:
    """Return the reference gradients of a call, their units, and the model of each group.

    Parameters
    ----------
    request : Request
    inputs : Inputs
    output_gradient : float array of shape (B, H, T, Dv)
    places : RoundingPlaces or None
        Where an implementation rounds to 16 bits; None for other dtypes.
    through_maximum : bool
        Whether the gradients are by automatic differentiation: the maximum that is subtracted from
        the scores may be differentiated, too.
    """
    expected, squares = empty_gradients(request), empty_gradients(request)
    models = []
    for group in groups(request, inputs, output_gradient):
        found = group_gradients(group, request)
        model = group_model(group, found, request, places, through_maximum=through_maximum)
        place(expected, group, found)
        squares["query"][group.batch, group.heads] = model.units["query"] ** 2
        squares["key"][group.batch, group.kv_head] = model.units["key"] ** 2
        squares["value"][group.batch, group.kv_head] = model.units["value"] ** 2
        if "bias" in squares:
            squares["bias"][group.heads] += model.units["bias"] ** 2
        models.append(model)
    return expected, {name: np.sqrt(square) for name, square in squares.items()}, models


def group_model(
    group: Group,
    found: GroupGradients,
    request: Request,
    places: RoundingPlaces | None,
    *,
    through_maximum: bool = False,
) -> GroupModel:
    """Compute the model of a group of query heads that share a key head."""
    dtype, temperature = request.dtype, request.temperature
    u = UNIT_ROUNDOFF["float32" if dtype in SIXTEEN_BIT else dtype]
    stores_weights = places is not None and places.weights
    stores_scores = places is not None and places.scores
    query, key, given = group.query, group.key, group.output_gradient
    weights, scores, delta = found.weights, found.scores, found.delta
    factor = request.score_scale / temperature
    sums = u * (np.log2(max(request.key_len, 2)) + 4)

    def stored(x: Wide, *, when: bool = True) -> Any:
        return last_bit(x, dtype) ** 2 / 12 if when else 0.0

    products = query @ key.T
    bias = 0.0 if group.bias is None else group.bias
    exponent = (request.score_scale * products + bias) / temperature
    cost = abs(request.score_scale) * _stepwise(query, key, products) + np.abs(bias)
    relative = (u * (cost / temperature + 2)) ** 2
    if stores_scores:
        relative += score_variance(products, group.bias, request)
    normaliser = (weights**2 * relative).sum(axis=-1, keepdims=True)
    relative += normaliser
    row = sums + u * np.abs(np.where(group.visible, exponent, 0)).max(axis=-1, keepdims=True)

    stored_weights = np.where(group.visible, stored(weights, when=stores_weights), 0)
    product_variance = (u * _stepwise(given, group.value, found.product)) ** 2
    # By automatic differentiation the gradient of what is stored is stored, too.
    stores_products = stores_scores or (stores_weights and through_maximum)
    product_variance += stored(found.product, when=stores_products)
    delta_variance = _delta_variance(group, found, u, sums)
    delta_variance += (scores**2 * relative).sum(axis=-1, keepdims=True)
    delta_variance += (stored_weights * found.product**2).sum(axis=-1, keepdims=True)
    if stores_products:
        delta_variance += (weights**2 * product_variance).sum(axis=-1, keepdims=True)
        # Equal products are rounded alike; where scores are stored, so is the term they cancel in.
        delta_variance += stored(delta, when=not stores_scores)
    if stores_weights:
        kept = _stored_output(found.output, stored_weights, dtype)
        delta_variance += (given**2 * kept).sum(axis=-1, keepdims=True)
    independent = scores**2 * (relative + sums**2) + weights**2 * product_variance
    independent += stored_weights * (found.product - delta) ** 2
    if stores_weights:
        independent += np.where(group.visible, _stored_scores(scores, request, places), 0)
    if through_maximum:
        of_sum = independent + u**2 * request.key_len / 4 * scores**2
        moved = delta_variance + of_sum.sum(axis=-1, keepdims=True)
        independent += np.where(
            _running_maxima(exponent, np.sqrt(relative), group.visible), moved, 0
        )

    common = scores**2 * row**2
    weight_variance = weights**2 * relative + stored_weights
    queries, keys = query**2, key**2
    own = {
        "query": _sum_variance(u, request.key_len, factor**2 * (scores**2 @ keys), found.query),
        "key": _sum_variance(
            u, _rows(query), factor**2 * _over_rows(scores**2, queries), found.key
        ),
        "value": _sum_variance(u, _rows(query), _over_rows(weights**2, given**2), found.value),
    }
    if dtype in SIXTEEN_BIT and len(query) > 1:
        own["key"] += stored(found.key_parts).sum(axis=0)
        own["value"] += stored(found.value_parts).sum(axis=0)
    squares = {
        "query": factor**2 * (independent @ keys + delta_variance * (weights @ key) ** 2)
        + (row * found.query) ** 2,
        "key": factor**2 * _over_rows(independent + common + weights**2 * delta_variance, queries),
        "value": _over_rows(weight_variance + weights**2 * row**2, given**2),
    }
    units = {name: np.sqrt(square + own[name]) for name, square in squares.items()}
    among = independent + common + weights**2 * delta_variance
    units["bias"] = np.sqrt(among) / temperature
    least = SMALLEST["float64" if dtype == "float64" else "float32"]
    visible = group.visible
    flushed = {
        "query": abs(factor) * (visible @ np.abs(key)),
        "key": abs(factor) * _over_rows(visible.astype(key.dtype), np.abs(query)),
        "value": _over_rows(visible.astype(key.dtype), np.abs(given)),
        "bias": np.asarray(1 / temperature),
    }
    for name, unit in units.items():
        units[name] = unit + u * np.abs(getattr(found, name)) + least * (1 + flushed[name])
    heavy = np.where(weights > 1e-6, relative, 0)
    return GroupModel(
        group=group,
        found=found,
        factor=factor,
        units=units,
        own={name: value + least**2 for name, value in own.items()},
        score_variance=independent,
        weight_variance=weight_variance,
        delta_variance=delta_variance[..., 0],
        row=np.sqrt(row**2 + normaliser)[..., 0],
        linear=not stores_scores or bool(np.sqrt(heavy.max()) < LINEAR),
    )


def passing_units(places: RoundingPlaces | None) -> float:
    """Return the largest error that passes, in units."""
    return PASSING_STORED if places is not None and places.weights else PASSING


def half_last_bit(x: Wide, dtype: DType) -> Wide:
    """Return the error of storing in 16 bits; 0 for other dtypes, whose unit has it."""
    return last_bit(x, dtype) / 2 if dtype in SIXTEEN_BIT else np.zeros_like(x)


def _delta_variance(group: Group, found: GroupGradients, u: float, sums: float) -> Wide:
    """Return the variance of delta from its own sums, over channels or over keys, (g, T, 1)."""
    given, keys, width = group.output_gradient, len(group.key), group.value.shape[1]
    over_channels = width / 4 * (given**2 * found.output**2).sum(axis=-1, keepdims=True)
    over_channels += width / 12 * found.delta**2
    size = found.weights @ np.abs(group.value)
    over_keys = keys / 4 * (found.weights**2 * found.product**2).sum(axis=-1, keepdims=True)
    over_keys += keys / 12 * found.delta**2
    of_output = sums**2 * (given**2 * size**2).sum(axis=-1, keepdims=True)
    return np.asarray(u**2 * (over_channels + over_keys) + of_output)


def _running_maxima(exponent: Wide, error: Wide, visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which scores may be a maximum of all before or of all after them, (g, T, S).

    Among them are the row's own, and those of code that reads blocks of keys in either direction.
    """
    seen = np.where(visible, exponent, -np.inf)
    before = np.maximum.accumulate(seen, axis=-1)
    after = np.maximum.accumulate(seen[..., ::-1], axis=-1)[..., ::-1]
    with np.errstate(invalid="ignore"):  # of rows without keys
        return np.asarray(np.minimum(before, after) - seen <= PASSING * error) & visible


def _stored_output(output: Wide, stored_weights: Wide, dtype: DType) -> Wide:
    """Return the variance that storing O in 16 bits leaves, (g, T, Dv).

    None where O is a 16-bit number, as if all values are equal, and its error before it is stored
    is too small to reach another.
    """
    step = last_bit(output, dtype)
    error = np.sqrt(stored_weights.sum(axis=-1, keepdims=True))
    exact = np.abs(round_to(output, dtype) - output) < step / 1000
    kept = exact & (error < UNIT_ROUNDOFF[dtype] / 8)
    return np.where(kept, 0, step**2 / 12)


def _stored_scores(scores: Wide, request: Request, places: RoundingPlaces | None) -> Wide:
    """Return the variance that storing dS in 16 bits leaves, before or after it is scaled."""
    dtype, temperature, scale = request.dtype, request.temperature, request.score_scale

    def step(factor: float) -> Wide:
        return np.asarray((last_bit(factor * scores, dtype) / factor) ** 2 / 12)

    if places is None or not places.scores:  # one of the two
        return np.maximum(step(1.0), step(scale / temperature))
    found = step(1.0) + step(scale / temperature)
    return found if temperature == 1 else found + step(1 / temperature)


def _stepwise(a: Wide, b: Wide, products: Wide) -> Wide:
    width = a.shape[-1]
    fluctuating = np.sqrt(width) / 2 * np.sqrt(a**2 @ (b**2).T)
    return np.asarray(fluctuating + np.sqrt(width / 3) / 2 * np.abs(products))


def _sum_variance(u: float, terms: int, squares: Wide, total: Wide) -> Wide:
    return np.asarray(u**2 * (terms / 4 * squares + terms / 12 * total**2 + total**2))


def _over_rows(of_pairs: Wide, of_rows: Wide) -> Wide:
    """Sum (g, T, S) times (g, T, D) over heads and rows: (S, D)."""
    return np.asarray((of_pairs.swapaxes(1, 2) @ of_rows).sum(axis=0))


def _rows(query: Wide) -> int:
    heads, rows, _ = query.shape
    return int(heads * rows)
