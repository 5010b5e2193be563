"""Laws of attention that an implementation must keep, whatever its numbers: each is one check.

Values alone don't tell a mask from a large penalty: scores filled with -20 instead of -inf are
within rounding error of right, and still let a hidden key speak.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.reference import reference, visible_keys
from bench.rounding import SMALLEST, round_to
from bench.trial import beyond_rounding, check, first_largest
from bench.units import output_unit, weight_error
from bench.values import weights_wrong

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType
    from bench.bench_run import Check
    from bench.trial import Trial

PERTURBATION: Final = 1e4
# A hidden key of 1e4 would take float16's scores past its largest number, 65504, and a mask that
# is added, -inf to inf, would be nan: the perturbation's fault and not the kernel's.
KEY_PERTURBATION: Final[dict[DType, float]] = {"float16": 100.0}
# Weights read through V = identity in all, over every call: 16 M numbers are a second or so.
IDENTITY_BUDGET: Final = 2**24


def masked_keys(trial: Trial) -> Check | None:
    """What a hidden key and its value hold changes no bit of what can't see them."""
    request, inputs = trial.request, trial.inputs
    visible = visible_keys(request, inputs)
    if visible.all():
        return None
    # Output channel d depends on no value channel but d: each channel hides another stretch of
    # keys, so that one call tries as many stretches as there are channels.
    stretches = _stretches(request.key_len, request.value_dim)  # (S, Dv)
    value = round_to(inputs.value + PERTURBATION * stretches, request.dtype)
    blind = (visible.astype(np.float32) @ stretches) == 0  # (B or 1, H or 1, T, Dv)
    found = _changed(trial, trial.run(replace(inputs, value=value)), blind, "values")
    if not found:
        late = _late_keys(visible)  # (B or 1, 1, S)
        signs = np.where(np.arange(request.head_dim) % 2, -1, 1)
        by = KEY_PERTURBATION.get(request.dtype, PERTURBATION) * signs * late[..., None]
        key = round_to(inputs.key + by, request.dtype)
        blind = np.logical_not((visible & late[:, :, None, :]).any(axis=-1, keepdims=True))
        found = _changed(trial, trial.run(replace(inputs, key=key)), blind, "keys")
    return check("masked keys", found)


def key_order(trial: Trial) -> Check | None:
    """Keys and values in another order give the same output."""
    request, inputs = trial.request, trial.inputs
    visible = visible_keys(request, inputs)
    # Of an order that leaves a row's mask as it is, the row must not know.
    tried = [
        (order, (visible[..., order] == visible).all(axis=-1, keepdims=True) & trial.seeing)
        for order in _orders(request.key_len)
    ]
    if not any(rows.any() for _, rows in tried):
        return None
    order, same = max(tried, key=lambda pair: int(pair[1].sum()))
    permuted = replace(
        inputs,
        key=inputs.key[:, :, order],
        value=inputs.value[:, :, order],
        bias=None if inputs.bias is None else inputs.bias[..., order],
    )
    unit = output_unit(request, trial.weight_error, trial.reference)
    found = beyond_rounding(trial.run(permuted), trial.reference.output, unit, same)
    return check("key order", found and f"keys in another order: {found}")


def shift(trial: Trial) -> Check:
    """A vector added to every key adds one number to a row's scores, and changes nothing."""
    request, inputs = trial.request, trial.inputs
    # Keys on a grid of 1/32 of their size, moved by whole steps: exact in all four dtypes.
    step = 2.0 ** (np.ceil(np.log2(np.abs(inputs.key).max())) - 5)
    key = np.rint(inputs.key / step) * step
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=request.head_dim)
    on_grid = replace(inputs, key=round_to(key, request.dtype))
    moved = replace(inputs, key=round_to(key + 32 * step * signs, request.dtype))
    right = reference(request, on_grid)
    unit = output_unit(request, weight_error(trial.implementation, request, moved), right)
    found = beyond_rounding(trial.run(moved), right.output, unit, trial.seeing)
    return check("shift", found and f"every score of a row moved alike: {found}")


def identity_value(trial: Trial) -> Check:
    """With V = identity the output is the weights: their support is the mask, their sum 1."""
    request, inputs = trial.request, trial.inputs
    sums = trial.run(replace(inputs, value=round_to(np.ones_like(inputs.value), request.dtype)))
    unit = trial.weight_error[..., None] + SMALLEST[request.dtype] * (1 + request.key_len)
    found = beyond_rounding(sums, np.ones(1), unit, trial.seeing)
    if found:
        return check("identity value", f"weights must sum to 1: {found}")
    keys, got = [], []
    for first in _column_starts(trial):
        some = np.arange(first, min(first + request.value_dim, request.key_len))
        value = np.zeros_like(inputs.value)
        value[:, :, some, some - first] = 1
        keys.append(some)
        got.append(trial.run(replace(inputs, value=value))[..., : some.size])
    found = weights_wrong(trial, np.concatenate(got, axis=-1), np.concatenate(keys))
    return check("identity value", found)


def _stretches(key_len: int, channels: int) -> NDArray[np.float32]:
    """1 where a channel has the key's value perturbed: the keys from, or up to, its own border."""
    border = np.round(np.linspace(0, key_len, channels + 2)[1:-1]).astype(int)
    key = np.arange(key_len)[:, None]
    late = np.arange(channels) % 2 == 0
    return np.where(late, key >= border, key < border).astype(np.float32)


def _late_keys(visible: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(B or 1, 1, S): the keys past the last one that the middle one of the seeing rows sees."""
    key = np.arange(visible.shape[-1])
    late = np.zeros((visible.shape[0], 1, key.size), bool)
    for b, rows in enumerate(visible):
        last = np.where(rows, key, -1).max(axis=-1)
        last = last[last >= 0]
        late[b, 0] = key > (np.median(last) if last.size else key.size)
    return late


def _changed(trial: Trial, output: NDArray[np.float64], blind: NDArray[np.bool_], what: str) -> str:
    same = (output == trial.output) | (np.isnan(output) & np.isnan(trial.output))
    wrong = blind & trial.seeing & ~same
    if not wrong.any():
        return ""
    at = first_largest(wrong)
    return (
        f"hidden {what} must not change a bit of the output; perturbed, "
        f"{trial.output[at]:.9g} became {output[at]:.9g} at {at}"
    )


def _orders(key_len: int) -> list[NDArray[np.intp]]:
    """All keys shuffled, the first half reversed, neighbours swapped; those that move a key."""
    identity = np.arange(key_len)
    half = (key_len + 1) // 2
    pairs = identity ^ 1
    if key_len % 2:
        pairs[-1] = key_len - 1
    orders = (
        np.random.default_rng(0).permutation(key_len),
        np.concatenate([identity[:half][::-1], identity[half:]]),
        pairs,
    )
    return [order for order in orders if (order != identity).any()]


def _column_starts(trial: Trial) -> list[int]:
    """Where the identity's blocks of Dv columns begin: all of them where that is little work."""
    request = trial.request
    cells = request.batch * request.heads * request.query_len * request.key_len
    starts = list(range(0, request.key_len, request.value_dim))
    few = min(len(starts), max(2, min(16, IDENTITY_BUDGET // cells)))
    chosen = np.unique(np.linspace(0, len(starts) - 1, few).astype(int))
    return [starts[i] for i in chosen]
