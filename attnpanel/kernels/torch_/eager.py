"""The notebook's attention in eager PyTorch, written as its formula.

Independent of the NumPy reference, which judges it.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from attnpanel.kernels.implementation import LEAKS_VALUES, Implementation, RawResult
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import DEVICES, DTYPES, cannot_run, repeat_heads, torch_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from attnpanel.kernels.request import Inputs, Request


def scaled_dot_product_attention(
    Q: torch.Tensor,  # noqa: N803 - Q, K and V are the notebook's and the paper's names
    K: torch.Tensor,  # noqa: N803
    V: torch.Tensor,  # noqa: N803
    mask: torch.Tensor | None = None,
    *,
    bias: torch.Tensor | None = None,
    scale: float | None = None,
    temperature: float = 1.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute attention output and weights, ``softmax(Q @ K.T / sqrt(D)) @ V``.

    Masked scores are filled with -inf, so weights and output of a query that may see no key are
    nan, as with the reference's ``empty_rows="nan"``.

    Parameters
    ----------
    Q : tensor of shape (…, T, D)
    K : tensor of shape (…, S, D)
    V : tensor of shape (…, S, Dv)
        All three with the same floating dtype, device and leading axes. Values are not checked:
        nan and inf propagate.
    mask : bool tensor broadcastable to (…, T, S), optional
        True where a query may attend to a key.
    bias : tensor broadcastable to (…, T, S), optional
        Added to the scores.
    scale : float, optional
        Multiplies ``Q @ K.T``, dimensionless. Defaults to ``1 / sqrt(D)``.
    temperature : float, optional
        Divides scores and bias inside the softmax; positive.

    Returns
    -------
    output : tensor of shape (…, T, Dv)
    weights : tensor of shape (…, T, S)

    Raises
    ------
    ValueError
        If shapes disagree or the mask is not boolean. The message names the rule and the values.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017, eq. 1.

    Examples
    --------
    Equal scores share the weight equally:

    >>> import torch
    >>> output, weights = scaled_dot_product_attention(
    ...     torch.zeros(1, 2), torch.eye(2), torch.tensor([[8.0], [4.0]])
    ... )
    >>> weights
    tensor([[0.5000, 0.5000]])
    >>> output
    tensor([[6.]])
    """
    _check_shapes(Q, K, V)
    products = Q @ K.transpose(-2, -1)
    scores = products / math.sqrt(Q.shape[-1]) if scale is None else products * scale
    if bias is not None:
        scores = scores + bias
    if temperature != 1:
        scores = scores / temperature
    if mask is not None:
        _check_mask(mask, scores)
        scores = scores.masked_fill(mask.logical_not(), -math.inf)
    weights = scores.softmax(dim=-1)
    return weights @ V, weights


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Split the channels of a layer into heads.

    Parameters
    ----------
    x : tensor of shape (…, T, heads * D)
    heads : int
        Number of heads, at least 1.

    Returns
    -------
    tensor of shape (…, heads, T, D)
        Head `h` holds the channels from ``h * D`` to ``(h + 1) * D``.

    Raises
    ------
    ValueError
        If the last axis is not a multiple of `heads`.

    References
    ----------
    Vaswani et al., "Attention Is All You Need", 2017, section 3.2.2.

    Examples
    --------
    >>> import torch
    >>> split_heads(torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]]), heads=2).tolist()
    [[[1, 2], [5, 6]], [[3, 4], [7, 8]]]
    """
    if heads < 1 or x.ndim < 2 or x.shape[-1] % heads != 0:
        raise ValueError(
            "the last axis of a (…, T, d_model) tensor must be a multiple of heads >= 1; "
            f"got shape {tuple(x.shape)} and heads {heads}"
        )
    return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(-3, -2)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """Concatenate heads along the channels: the inverse of :func:`split_heads`.

    Parameters
    ----------
    x : tensor of shape (…, heads, T, D)

    Returns
    -------
    tensor of shape (…, T, heads * D)

    Raises
    ------
    ValueError
        If `x` has fewer than three axes.

    Examples
    --------
    >>> import torch
    >>> merge_heads(torch.tensor([[[1, 2], [5, 6]], [[3, 4], [7, 8]]])).tolist()
    [[1, 2, 3, 4], [5, 6, 7, 8]]
    """
    if x.ndim < 3:
        raise ValueError(f"heads are merged from (…, heads, T, D); got shape {tuple(x.shape)}")
    return x.transpose(-3, -2).flatten(-2)


def _check_shapes(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    shapes = f"Q {tuple(q.shape)}, K {tuple(k.shape)}, V {tuple(v.shape)}"
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ValueError(f"Q, K and V must have at least two axes, (…, T, D); got {shapes}")
    if not q.shape[:-2] == k.shape[:-2] == v.shape[:-2]:
        raise ValueError(f"Q, K and V must agree in their leading axes; got {shapes}")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(f"Q and K must agree in D, and K and V in S; got {shapes}")


def _check_mask(mask: torch.Tensor, scores: torch.Tensor) -> None:
    import torch

    got = f"shape {tuple(mask.shape)}, {mask.dtype}"
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be boolean, True where a query may attend; got {got}")
    try:
        mask.expand_as(scores)
    except RuntimeError:
        raise ValueError(
            f"mask must broadcast to (…, T, S) = {tuple(scores.shape)}; got {got}"
        ) from None


def _prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    tensors = torch_inputs(inputs, request)

    def run() -> RawResult:
        output, weights = scaled_dot_product_attention(
            tensors.query,
            repeat_heads(tensors.key, request.heads),
            repeat_heads(tensors.value, request.heads),
            tensors.mask,
            bias=tensors.bias,
            scale=request.scale,
            temperature=request.temperature,
        )
        return RawResult(output, weights)

    return run


EAGER = Implementation(
    name="torch-eager",
    framework="torch",
    source="the notebook's scaled_dot_product_attention; Vaswani et al., 2017, eq. 1",
    devices=DEVICES,
    dtypes=DTYPES,
    returns=frozenset({"output", "weights"}),
    empty_rows="nan",
    causal_align=None,
    scores_dtype="storage",
    compiles=False,
    limits=(
        "Boolean mask, True where a query may attend, filled with -inf. Holds all T × S weights; "
        "16-bit inputs keep their scores in 16 bits, which overflow beyond 65504 in float16."
    ),
    unsupported=functools.partial(cannot_run, "torch-eager"),
    prepare=_prepare,
    hidden_leaks=LEAKS_VALUES,
    swallows=frozenset(),
    strided=True,
    gradients=by_autograd(_prepare),
)
