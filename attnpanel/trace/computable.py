"""Whether attention of a trace stays within float32, in which pages and Python compute it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.trace.call import AttentionCall
    from attnpanel.trace.trace import Trace

# Sums of float32 may round upwards.
LARGEST: Final = float(np.finfo(np.float32).max) * 0.999
# A finite bias below this hides a key, and is not part of a mean that must stay finite.
HIDDEN: Final = -1e29
MEASURED: Final = ("query", "key", "value", "bias")
# Calls never change, so each is checked once; its fields that hold nan or inf.
_CHECKED: WeakKeyDictionary[AttentionCall, tuple[str, ...]] = WeakKeyDictionary()


def check_computable(trace: Trace) -> None:
    """Raise ValueError if finite numbers could give a score, output or mean that is not finite.

    A bound decides, not the scores themselves: ``|scale| * |query row| * |key row|`` by the
    largest Euclidean norms. No model comes near it, damaged files do. A model that computed nan or
    inf may be shown: :func:`not_finite` says what of it is.

    Raises
    ------
    ValueError
        The layer, the rule and the largest numbers.
    """
    for call in trace.calls:
        if call not in _CHECKED:
            found = tuple(name for name in MEASURED if _is_broken(name, getattr(call, name)))
            _check(call)
            _CHECKED[call] = found


def not_finite(call: AttentionCall) -> tuple[str, ...]:
    """Return which of a call's query, key, value and bias hold nan or inf; -inf hides in a bias."""
    if call not in _CHECKED:
        return tuple(name for name in MEASURED if _is_broken(name, getattr(call, name)))
    return _CHECKED[call]


def _is_broken(name: str, array: NDArray[Any] | None) -> bool:
    if array is None:
        return False
    return not bool((array < np.inf).all() if name == "bias" else np.isfinite(array).all())


def _check(call: AttentionCall) -> None:
    where = f"layer {call.layer[:80]!r} (call {call.index})"
    heads = call.heads
    for name, array in (("value", call.value), ("recorded_weights", call.recorded_weights)):
        if array is not None and _largest(array) * heads > LARGEST:
            raise ValueError(
                f"{where}: the sum of {name} over {heads} heads must stay within float32; got "
                f"|{name}| up to {_largest(array):.3g}"
            )
    if call.query is None or call.key is None:
        return
    scores = _score_bound(call)
    if scores * heads > LARGEST:
        raise ValueError(
            f"{where}: scale * query @ key.T must stay within float32, summed over {heads} heads; "
            f"got |query| up to {_largest(call.query):.3g}, |key| up to {_largest(call.key):.3g}, "
            f"scale {call.scale:.3g}"
        )
    if call.bias is None:
        return
    bias = call.bias.astype(np.float64)
    bias = bias[np.isfinite(bias)]
    seen = np.abs(bias[bias > HIDDEN]).max(initial=0.0)
    hidden = np.abs(bias[bias <= HIDDEN]).max(initial=0.0)
    # Adding less than half a unit in the last place to a number near the end leaves it there.
    if (scores + seen) * heads > LARGEST or (hidden > LARGEST and scores > 1e30):
        raise ValueError(
            f"{where}: scale * query @ key.T + bias must stay within float32, summed over {heads} "
            f"heads; got a product up to {scores:.3g} and |bias| up to {max(seen, hidden):.3g}"
        )


def _score_bound(call: AttentionCall) -> float:
    """Return what no magnitude of ``scale * query @ key.T`` or ``scale * query`` exceeds."""
    assert call.query is not None  # noqa: S101 - the caller checked
    assert call.key is not None  # noqa: S101 - as above
    scale = abs(call.scale)
    query, key = _largest(call.query), _largest(call.key)
    product = query * key * (call.head_dim or 1)
    if scale * product * call.heads > LARGEST:
        product = _norm(call.query) * _norm(call.key)
    return max(scale * product, scale * query)


def _norm(array: NDArray[Any]) -> float:
    """Return the largest finite Euclidean norm along the last axis, over all others."""
    squares = 0.0
    for matrix in array.reshape(-1, *array.shape[-2:]):
        wide = matrix.astype(np.float64)
        rows = np.einsum("ij,ij->i", wide, wide)
        squares = max(squares, float(rows.max(initial=0.0, where=np.isfinite(rows))))
    return float(np.sqrt(squares))


def _largest(array: NDArray[Any]) -> float:
    """Return the largest magnitude; what is not finite counts as 0."""
    if array.dtype == np.float16:
        return float(np.finfo(np.float16).max)
    most = max(float(np.fmax.reduce(array, axis=None)), -float(np.fmin.reduce(array, axis=None)))
    if np.isfinite(most):
        return most
    return float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
