"""The toy example: random tokens, random projections, and colours for the values.

It reproduces the numbers of the notebook from which this project grew: the same generator, drawn
in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from attnpanel.trace import Trace


def make_toy_data(
    T: int = 8,  # noqa: N803 - the notebook's name for the number of tokens
    d_model: int = 8,
    heads: int = 4,
    seed: int = 42,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Draw random queries, keys and values of a small self-attention layer.

    Draws tokens `X` (T, d_model), then three square projections, all standard normal, and
    splits ``X @ W_q``, ``X @ W_k`` and ``X @ W_v`` into heads: head `h` holds the channels from
    ``h * d`` to ``(h + 1) * d``, with ``d = d_model // heads``. Nothing is divided by
    ``sqrt(d_model)``, so scores are wide and the attention is peaked.

    Parameters
    ----------
    T : int, optional
        Number of tokens, at least 1.
    d_model : int, optional
        Channels of a token over all heads; a multiple of `heads`.
    heads : int, optional
        Number of heads, at least 1.
    seed : int, optional
        Seed of the generator, at least 0.

    Returns
    -------
    query, key, value : float64 arrays of shape (heads, T, d_model // heads)
        Dimensionless.

    Raises
    ------
    ValueError
        If a size is below 1, the seed is negative, or `d_model` is not a multiple of `heads`.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2.

    Examples
    --------
    >>> query, key, value = make_toy_data(T=5, d_model=6, heads=2)
    >>> query.shape
    (2, 5, 3)
    """
    for name, value, low in (("T", T, 1), ("d_model", d_model, 1), ("heads", heads, 1)):
        _check_int(name, value, low)
    _check_int("seed", seed, 0)
    if d_model % heads != 0:
        raise ValueError(f"d_model must be a multiple of heads; got {d_model} and {heads}")
    rng = np.random.default_rng(seed)
    tokens = rng.standard_normal((T, d_model))

    def project() -> NDArray[np.float64]:
        projected = tokens @ rng.standard_normal((d_model, d_model))
        return projected.reshape(T, heads, d_model // heads).transpose(1, 0, 2)

    return project(), project(), project()


def rgb_from_values(values: ArrayLike, seed: int = 0) -> NDArray[np.float64]:
    """Assign a colour to each value vector; mixed values get mixed colours.

    Projects the values to three channels by a random standard normal (d, 3) matrix, then maps the
    smallest number of the whole array to 0 and the largest to 1. Heads and channels share that
    range, so colours are comparable within one call but not between calls. The map is affine: the
    colour of a weighted mix of values is the same mix of their colours.

    Parameters
    ----------
    values : array of shape (heads, T, d)
        Real and finite.
    seed : int, optional
        Seed of the projection, at least 0.

    Returns
    -------
    float64 array of shape (heads, T, 3)
        Red, green and blue from 0 to 1; all 0 where every projected number is the same.

    Raises
    ------
    ValueError
        If `values` is not a finite, non-empty real array of three axes, or the seed is negative.

    Examples
    --------
    Two values and their midpoint:

    >>> red, green, mixed = rgb_from_values([[[0.0], [4.0], [2.0]]])[0]
    >>> np.allclose(mixed, (red + green) / 2)
    True
    """
    _check_int("seed", seed, 0)
    array = np.asarray(values)
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            "values must be a non-empty array of real numbers of shape (heads, T, d); "
            f"got shape {array.shape}, dtype {array.dtype}"
        )
    array = array.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        projected = array @ np.random.default_rng(seed).standard_normal((array.shape[-1], 3))
        low, span = projected.min(), np.ptp(projected)
    if not np.isfinite(span):
        raise ValueError(
            "values must be finite, and stay so when projected to colours; "
            f"got |values| up to {np.abs(array).max()}"
        )
    # The notebook's guard against a span of 0. It keeps the largest number just below 1.
    colours: NDArray[np.float64] = (projected - low) / (span + 1e-8)
    return colours


def toy_trace(
    T: int = 8,  # noqa: N803 - as in make_toy_data
    d_model: int = 8,
    heads: int = 4,
    seed: int = 42,
) -> Trace:
    """Return :func:`make_toy_data` as a trace of one attention call.

    Parameters
    ----------
    T, d_model, heads, seed : int, optional
        As for :func:`make_toy_data`.

    Returns
    -------
    Trace
        One unmasked self-attention call: layer ``"toy"``, batch 1, float32, scale
        ``1 / sqrt(d_model / heads)``; tokens ``"t0"``, ``"t1"``, …; source ``"toy"``.

    Raises
    ------
    ValueError
        As :func:`make_toy_data` does.

    Examples
    --------
    >>> trace = toy_trace(T=3)
    >>> trace.query_tokens[0]
    ('t0', 't1', 't2')
    """
    from attnpanel.trace import AttentionCall, Trace

    query, key, value = (
        array[None].astype(np.float32) for array in make_toy_data(T, d_model, heads, seed)
    )
    call = AttentionCall(
        layer="toy",
        index=0,
        kind="self",
        query=query,
        key=key,
        value=value,
        scale=float(query.shape[-1] ** -0.5),
    )
    tokens = tuple(f"t{index}" for index in range(T))
    return Trace([call], query_tokens=(tokens,), source="toy")


def _check_int(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(f"{name} must be an integer of at least {low}; got {value!r}")
