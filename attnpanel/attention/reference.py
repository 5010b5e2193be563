"""The reference: scaled dot-product attention in NumPy, with every intermediate result.

It defines correctness: every other implementation of attention is measured against
:func:`attend` run in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from attnpanel.attention.validation import EmptyRows, as_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Attention:
    """The result of :func:`attend`: every step from the scores to the output.

    The leading axes ``…`` are those of the query.

    Attributes
    ----------
    scores : float array of shape (…, T, S)
        ``scale * query @ key.T``, soft-capped where a cap was given, plus the bias: before mask
        and temperature.
    weights : float array of shape (…, T, S)
        Softmax over the visible keys of ``scores / temperature``; exactly 0 where masked.
    logsumexp : float array of shape (…, T)
        Natural-log normaliser of each row, in nats: the log of the sum of
        ``exp(scores / temperature)`` over the visible keys and the sink, if there is one; -inf on
        an empty row without one.
    output : float array of shape (…, T, Dv), or None
        ``weights @ value``; None where no value was given.
    """

    scores: NDArray[np.floating]
    weights: NDArray[np.floating]
    logsumexp: NDArray[np.floating]
    output: NDArray[np.floating] | None


def softmax(x: ArrayLike, axis: int = -1, temperature: float = 1.0) -> NDArray[np.floating]:
    """Compute ``exp(x / temperature)``, normalised to sum to one along an axis.

    The maximum is subtracted before the division, so no finite `x` and no temperature overflows.

    Parameters
    ----------
    x : array of any shape
        Finite, or -inf for an entry whose weight must be exactly 0. float16 is computed in float32,
        integers in float64.
    axis : int, optional
        The axis that sums to one.
    temperature : float, optional
        Positive, in units of `x`: near 0 the largest entry gets all weight, large values equalise.

    Returns
    -------
    float array of the shape of `x`
        A slice of -inf only gives zeros.

    Raises
    ------
    ValueError
        If `x` holds nan or +inf, has no entry along `axis`, or `temperature` is not a positive
        finite number. The message has the rule and the value.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, eq. 1.

    Examples
    --------
    >>> softmax([0.0, 0.0])
    array([0.5, 0.5])
    >>> softmax(np.log([1.0, 3.0])).round(12)
    array([0.25, 0.75])
    """
    (values,) = _to_float(x=x)
    if not -values.ndim <= axis < values.ndim or values.shape[axis] == 0:
        raise ValueError(
            f"x must have at least one entry along axis; got shape {values.shape}, axis {axis}"
        )
    _check_finite("x", values, minus_inf=True)
    temperature = _positive("temperature", temperature, values.dtype)
    weights, _ = _normalise(values, axis, temperature)
    return weights


def attend(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike | None,
    *,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    scale: float | None = None,
    soft_cap: float | None = None,
    sinks: ArrayLike | None = None,
    temperature: float = 1.0,
    empty_rows: EmptyRows = "zero",
) -> Attention:
    """Compute scaled dot-product attention and keep every intermediate.

    Computes ``softmax((scale * query @ key.T + bias) / temperature) @ value`` over the keys
    each query may see, with the row maximum subtracted first, so finite scores never overflow.
    Soft-capped scores and attention sinks are optional.

    It is computed in the inputs' own floating type: float16 in float32, integers in float64. Memory
    grows with T times S: this is the readable definition, not a fast kernel.

    Parameters
    ----------
    query : array of shape (…, H, T, D), or (T, D)
        Any number of leading axes.
    key : array of shape (…, Hkv, S, D), or (S, D)
        H must be a multiple of Hkv. Each key head serves H / Hkv consecutive query heads
        (grouped-query attention; Hkv = 1 is multi-query attention).
    value : array of shape (…, Hkv, S, Dv), or (S, Dv), or None
        None skips the output.
    mask : bool array broadcastable to (…, H, T, S), optional
        True where a query may attend to a key. None lets every query see every key.
    bias : float array broadcastable to (…, H, T, S), optional
        Added to the scores; -inf hides a key as the mask does.
    scale : float, optional
        Multiplies ``query @ key.T``; dimensionless. Defaults to ``1 / sqrt(D)``.
    soft_cap : float, optional
        Positive: bounds the products to -soft_cap to soft_cap. Replaces ``product = scale * query @
        key.T`` by ``soft_cap * tanh(product / soft_cap)``, before the bias.
    sinks : float array broadcastable to (…, H), optional
        The score of each head's attention sink: a part of the softmax of every row, like a key that
        every query sees and that has no value. A row of weights then sums to less than 1.
    temperature : float, optional
        Divides the scores inside the softmax, the sinks' too; positive, dimensionless.
    empty_rows : {"zero", "uniform", "nan"}, optional
        The weights of a query that may see no key. ``"zero"``: 0 on all keys, as in current PyTorch
        kernels. ``"uniform"``: 1/S on all S keys, as when masked scores are filled with a large
        negative number. ``"nan"``: nan, as when they are filled with -inf. With a sink all three
        give zeros: the sink takes the whole row.

    Returns
    -------
    Attention
        ``scores`` and ``weights`` (…, H, T, S), ``logsumexp`` (…, H, T) in nats, ``output``
        (…, H, T, Dv).

    Raises
    ------
    ValueError
        If shapes disagree, an input is not finite, the scores leave the floating type's range,
        or an option breaks its rule. The message has the rule and the values.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017, eq. 1. Ainslie et al., "GQA: Training
    Generalized Multi-Query Transformer Models from Multi-Head Checkpoints", 2023. Gemma Team,
    "Gemma 2: Improving Open Language Models at a Practical Size", 2024, section 2: soft-capping.
    OpenAI, "gpt-oss-120b & gpt-oss-20b Model Card", 2025, section 2.2: learned sinks; Xiao et al.,
    "Efficient Streaming Language Models with Attention Sinks", 2023, eq. 2, with all sinks 0.

    Examples
    --------
    Equal scores share the weight equally:

    >>> result = attend(np.zeros((1, 2)), np.eye(2), np.array([[8.0], [4.0]]))
    >>> result.weights
    array([[0.5, 0.5]])
    >>> result.output
    array([[6.]])

    A query that may see no key gets weights 0, unless `empty_rows` says otherwise:

    >>> no_key = np.array([[False, False]])
    >>> attend(np.zeros((1, 2)), np.eye(2), None, mask=no_key).weights
    array([[0., 0.]])
    >>> attend(np.zeros((1, 2)), np.eye(2), None, mask=no_key, empty_rows="uniform").weights
    array([[0.5, 0.5]])

    A sink takes a part of every row:

    >>> attend(np.zeros((1, 2)), np.eye(2), None, sinks=np.log(2.0)).weights.round(12)
    array([[0.25, 0.25]])
    """
    if empty_rows not in get_args(EmptyRows):
        raise ValueError(f"empty_rows must be 'zero', 'uniform' or 'nan'; got {empty_rows!r}")
    if value is None:
        q, k = _to_float(query=query, key=key)
        v = None
    else:
        q, k, v = _to_float(query=query, key=key, value=value)
    _check_shapes(q, k, v)
    for name, array in (("query", q), ("key", k), ("value", v)):
        if array is not None:
            _check_finite(name, array)
    temperature = _positive("temperature", temperature, q.dtype)

    groups = q.shape[-3] // k.shape[-3] if q.ndim > 2 else 1
    scores = _scores(q, _repeat_heads(k, groups), scale, soft_cap, bias)  # (…, H, T, S)
    visible = scores if mask is None else np.where(_mask(mask, scores.shape), scores, -np.inf)
    sink = None if sinks is None else _sinks(sinks, q)
    weights, logsumexp = _normalise(visible, -1, temperature, sink)
    if empty_rows != "zero" and sink is None:
        fill = 1 / k.shape[-2] if empty_rows == "uniform" else np.nan
        weights[np.isneginf(visible).all(axis=-1)] = fill
    output = None if v is None else weights @ _repeat_heads(v, groups)
    return Attention(scores, weights, logsumexp.squeeze(-1), output)


def _scores(
    q: NDArray[np.floating],
    k: NDArray[np.floating],
    scale: float | None,
    soft_cap: float | None,
    bias: ArrayLike | None,
) -> NDArray[np.floating]:
    factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
    if not np.isfinite(factor):
        raise ValueError(f"scale must be finite; got {scale!r}")
    # Scaling the query instead of the product takes fewer multiplications and overflows later.
    with np.errstate(over="ignore", invalid="ignore"):
        scores: NDArray[np.floating] = (q * factor) @ np.swapaxes(k, -1, -2)
    if not np.isfinite(scores).all():
        raise ValueError(
            f"scale * query @ key.T must stay within {q.dtype}; got a score that is not finite "
            f"from |query| <= {np.abs(q).max():g}, |key| <= {np.abs(k).max():g}, scale {factor:g}"
        )
    if soft_cap is not None:
        cap = _positive("soft_cap", soft_cap, q.dtype)
        with np.errstate(over="ignore"):  # tanh of an infinity is 1
            scores = cap * np.tanh(scores / cap)
    if bias is None:
        return scores
    added = _broadcast("bias", as_array(bias), scores.shape, "(…, T, S)")
    if added.dtype.kind not in "fiu":
        raise ValueError(f"bias must hold real numbers; got dtype {added.dtype}")
    with np.errstate(over="ignore"):
        added = added.astype(q.dtype)
        _check_finite("bias", added, minus_inf=True)
        scores = scores + added
    _check_finite("scores plus bias", scores, minus_inf=True)
    return scores


def _sinks(sinks: ArrayLike, q: NDArray[np.floating]) -> NDArray[np.floating]:
    """Broadcast the sinks to one a row, (…, H, 1, 1)."""
    array = as_array(sinks)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"sinks must hold real numbers; got dtype {array.dtype}")
    with np.errstate(over="ignore"):
        array = array.astype(q.dtype)
    _check_finite("sinks", array)
    return _broadcast("sinks", array, q.shape[:-2], "(…, H)")[..., None, None]


def _normalise(
    x: NDArray[np.floating],
    axis: int,
    temperature: float,
    sink: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return weights along the axis, zeros where nothing is visible, and their log-normaliser."""
    peak = x.max(axis=axis, keepdims=True)
    if sink is not None:
        peak = np.maximum(peak, sink)
    # A slice with nothing visible has peak -inf, and -inf - -inf is nan. Shifting such a slice
    # by 0 keeps every exp at 0, so that it becomes zeros below.
    shift = np.where(np.isneginf(peak), 0, peak)
    # Here overflow can only give -inf, whose exp is the correct 0. Only the returned logsumexp
    # can be out of range, and then inf is its rounded value.
    with np.errstate(over="ignore", divide="ignore"):
        weights = np.exp((x - shift) / temperature)
        total = weights.sum(axis=axis, keepdims=True)
        if sink is not None:
            total = total + np.exp((sink - shift) / temperature)
        logsumexp = np.log(total) + shift / temperature
    weights /= np.where(total == 0, 1, total)
    return weights, logsumexp


def _repeat_heads(x: NDArray[np.floating], groups: int) -> NDArray[np.floating]:
    return x if groups == 1 else np.repeat(x, groups, axis=-3)


def _mask(mask: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    array = as_array(mask)
    if array.dtype != np.bool_:
        raise ValueError(f"mask must be boolean, True where a query may attend; got {array.dtype}")
    return _broadcast("mask", array, shape, "(…, T, S)")


def _broadcast(name: str, array: NDArray[Any], shape: tuple[int, ...], axes: str) -> NDArray[Any]:
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} must broadcast to {axes} = {shape}; got shape {array.shape}"
        ) from None


def _to_float(**arrays: ArrayLike) -> list[NDArray[np.floating]]:
    """Convert all arrays to the floating type of the computation."""
    found = {name: as_array(array) for name, array in arrays.items()}
    for name, array in found.items():
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}")
    dtype = np.result_type(*found.values())
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    elif dtype == np.float16:
        dtype = np.dtype(np.float32)
    return [array.astype(dtype, copy=False) for array in found.values()]


def _check_shapes(
    q: NDArray[np.floating], k: NDArray[np.floating], v: NDArray[np.floating] | None
) -> None:
    shapes = f"query {q.shape}, key {k.shape}" + ("" if v is None else f", value {v.shape}")
    if any(x is not None and (x.ndim < 2 or x.size == 0) for x in (q, k, v)):
        raise ValueError(f"query, key and value must be (…, T, D) with no empty axis; got {shapes}")
    if q.ndim != k.ndim or q.shape[:-3] != k.shape[:-3] or q.shape[-1] != k.shape[-1]:
        raise ValueError(f"query and key must agree in their leading axes and in D; got {shapes}")
    if v is not None and k.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"key and value must agree in all axes but the last; got {shapes}")
    if q.ndim > 2 and q.shape[-3] % k.shape[-3] != 0:
        raise ValueError(f"query heads must be a multiple of key heads; got {shapes}")


def _check_finite(name: str, array: NDArray[np.floating], *, minus_inf: bool = False) -> None:
    fine = np.isfinite(array)
    if minus_inf:
        fine |= np.isneginf(array)
    if not fine.all():
        index = tuple(int(i) for i in np.argwhere(~fine)[0])
        rule = "finite or -inf" if minus_inf else "finite"
        raise ValueError(f"{name} must be {rule}; got {array[index]} at index {index}")


def _positive(name: str, number: float, dtype: np.dtype[Any]) -> float:
    with np.errstate(over="ignore", under="ignore"):
        stored = dtype.type(number)
    if not (np.isfinite(stored) and stored > 0):
        raise ValueError(f"{name} must be positive and finite in {dtype}; got {number!r}")
    # A Python float, so that it does not widen a float32 computation.
    return float(number)
