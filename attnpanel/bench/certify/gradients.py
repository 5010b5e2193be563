"""The reference of the backward pass: gradients of attention by formula, in a wider dtype.

With P the weights, O the output, dO its gradient and c = scale / temperature::

    dV = Pᵀ dO     dP = dO Vᵀ     delta = rowsum(dO * O)     dS = P * (dP - delta)
    dQ = c dS K    dK = c dSᵀ Q   dbias = dS / temperature

dK and dV are summed over the query heads that share a key head, dbias over the batch, which shares
a bias. A query without a visible key has P = 0, so it receives and gives no gradient.

References
----------
Dao et al., "FlashAttention", 2022, appendix B.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from attnpanel.attention.reference import attend
from attnpanel.bench.certify.reference import visible_keys, wide_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs, Request

    Wide = NDArray[np.floating]

NAMES: Final = ("query", "key", "value", "bias")


@dataclass(frozen=True, eq=False)
class Group:
    """A key head and the g query heads that read it, in the reference's dtype.

    Attributes
    ----------
    batch, kv_head : int
    heads : slice
        The query heads.
    query : float array of shape (g, T, D)
    key : float array of shape (S, D)
    value : float array of shape (S, Dv)
    output_gradient : float array of shape (g, T, Dv)
    visible : bool array of shape (g, T, S)
    bias : float array of shape (g, T, S), or None
    """

    batch: int
    kv_head: int
    heads: slice
    query: Wide
    key: Wide
    value: Wide
    output_gradient: Wide
    visible: NDArray[np.bool_]
    bias: Wide | None


@dataclass(frozen=True, eq=False)
class GroupGradients:
    """Gradients of a group, and what they are computed from.

    Attributes
    ----------
    weights, product, scores : float arrays of shape (g, T, S)
        P, dP and dS.
    output : float array of shape (g, T, Dv)
    delta : float array of shape (g, T, 1)
    query : float array of shape (g, T, D)
    key_parts : float array of shape (g, S, D)
        dK of each query head.
    value_parts : float array of shape (g, S, Dv)
    bias : float array of shape (g, T, S)
        dbias of one batch entry.
    """

    weights: Wide
    product: Wide
    scores: Wide
    output: Wide
    delta: Wide
    query: Wide
    key_parts: Wide
    value_parts: Wide
    bias: Wide

    @property
    def key(self) -> Wide:
        """The gradient of the key, (S, D)."""
        return np.asarray(self.key_parts.sum(axis=0))

    @property
    def value(self) -> Wide:
        """The gradient of the value, (S, Dv)."""
        return np.asarray(self.value_parts.sum(axis=0))


def groups(request: Request, inputs: Inputs, output_gradient: Wide) -> Iterator[Group]:
    """Yield each key head of each batch entry with its query heads."""
    wide = wide_type(request)
    mask = visible_keys(request, inputs)
    mask = np.broadcast_to(mask, (request.batch, request.heads, *mask.shape[2:]))
    size = request.heads // request.kv_heads
    for b, kv in np.ndindex(request.batch, request.kv_heads):
        heads = slice(kv * size, (kv + 1) * size)
        yield Group(
            batch=b,
            kv_head=kv,
            heads=heads,
            query=inputs.query[b, heads].astype(wide),
            key=inputs.key[b, kv].astype(wide),
            value=inputs.value[b, kv].astype(wide),
            output_gradient=output_gradient[b, heads].astype(wide),
            visible=mask[b, heads],
            bias=None if inputs.bias is None else inputs.bias[heads].astype(wide),
        )


def group_gradients(group: Group, request: Request) -> GroupGradients:
    """Compute the gradients of a group in its dtype."""
    forward = attend(
        group.query[None],
        np.broadcast_to(group.key, (1, len(group.query), *group.key.shape)),
        np.broadcast_to(group.value, (1, len(group.query), *group.value.shape)),
        mask=group.visible[None],
        bias=None if group.bias is None else group.bias[None],
        scale=request.score_scale,
        temperature=request.temperature,
    )
    weights, output = forward.weights[0], np.asarray(forward.output)[0]
    given = group.output_gradient
    delta = (given * output).sum(axis=-1, keepdims=True)
    product = given @ group.value.T
    scores = weights * (product - delta)
    factor = request.score_scale / request.temperature
    return GroupGradients(
        weights=weights,
        product=product,
        scores=scores,
        output=output,
        delta=delta,
        query=factor * (scores @ group.key),
        key_parts=factor * (scores.swapaxes(1, 2) @ group.query),
        value_parts=weights.swapaxes(1, 2) @ given,
        bias=scores / request.temperature,
    )


def reference_gradients(request: Request, inputs: Inputs, output_gradient: Wide) -> dict[str, Wide]:
    """Compute the gradients of a call, by the names of `NAMES`.

    Parameters
    ----------
    request : Request
    inputs : Inputs
        Already rounded to the request's dtype.
    output_gradient : float array of shape (B, H, T, Dv)

    Returns
    -------
    dict of str to float array
        ``"query"`` (B, H, T, D), ``"key"`` (B, Hkv, S, D), ``"value"`` (B, Hkv, S, Dv), in float64,
        or longdouble if the request is float64, and with a bias ``"bias"`` (H, T, S).
    """
    found = empty_gradients(request)
    for group in groups(request, inputs, output_gradient):
        place(found, group, group_gradients(group, request))
    return found


def empty_gradients(request: Request) -> dict[str, Wide]:
    """Return zeros in the shapes of the gradients."""
    pairs = (request.query_len, request.key_len)
    keys = (request.batch, request.kv_heads, request.key_len)
    shapes = {
        "query": (request.batch, request.heads, request.query_len, request.head_dim),
        "key": (*keys, request.head_dim),
        "value": (*keys, request.value_dim),
        **({"bias": (request.heads, *pairs)} if request.bias else {}),
    }
    return {name: np.zeros(shape, wide_type(request)) for name, shape in shapes.items()}


def place(into: dict[str, Wide], group: Group, found: GroupGradients) -> None:
    """Write the gradients of a group where they belong; those of the bias are added."""
    into["query"][group.batch, group.heads] = found.query
    into["key"][group.batch, group.kv_head] = found.key
    into["value"][group.batch, group.kv_head] = found.value
    if "bias" in into:
        into["bias"][group.heads] += found.bias
