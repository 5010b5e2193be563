"""nn.MultiheadAttention with identity projections, which leaves its attention only.

Heads are concatenated along the channels, as the module expects, before timing starts. The four
projections are products with the identity, which are exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnpanel.kernels.implementation import LEAKS_ALL, Implementation, RawResult
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import (
    DEVICES,
    DTYPES,
    SIXTEEN_BITS,
    additive_mask,
    cannot_run,
    torch_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from attnpanel.kernels.request import Inputs, Request
    from attnpanel.kernels.torch_.inputs import TorchInputs


def _identity_module(request: Request, like: torch.Tensor) -> torch.nn.MultiheadAttention:
    """Return the module with identity projections; the query's also applies the scale."""
    import torch

    channels = request.heads * request.head_dim
    # On "meta" the module draws no random weights, so the global generator does not advance.
    module = torch.nn.MultiheadAttention(
        channels, request.heads, bias=False, batch_first=True, device="meta", dtype=like.dtype
    )
    eye = torch.eye(channels, dtype=like.dtype, device=like.device)
    projections = torch.cat([eye * _query_factor(request), eye, eye])
    state = {"in_proj_weight": projections, "out_proj.weight": eye}
    module.load_state_dict(state, assign=True)
    return module.requires_grad_(requires_grad=False).eval()


def _query_factor(request: Request) -> float:
    """Return the factor of the queries; the module itself scales by ``head_dim ** -0.5``."""
    # Exactly 1 without scale and temperature; sqrt(D) * D ** -0.5 need not be.
    scale = 1.0 if request.scale is None else request.scale * math.sqrt(request.head_dim)
    return scale / request.temperature


def _forbidden(tensors: TorchInputs, request: Request) -> torch.Tensor | None:
    """Return the module's mask, (B * H, T, S): True where *not* to attend, or a bias."""
    if tensors.bias is not None:
        mask = additive_mask(tensors, request.temperature, tensors.query.dtype)
    else:
        mask = None if tensors.mask is None else tensors.mask.logical_not()
    if mask is None:
        return None
    shape = (request.batch, request.heads, request.query_len, request.key_len)
    return mask.expand(shape).flatten(0, 1)


def _prepare(
    inputs: Inputs,
    request: Request,
    *,
    threads: int = 1,  # noqa: ARG001 - torch's threads are its process', which the caller sets
) -> Callable[[], RawResult]:
    tensors = torch_inputs(inputs, request)
    module = _identity_module(request, tensors.query)
    mask = _forbidden(tensors, request)
    query, key, value = (
        x.transpose(1, 2).flatten(2) for x in (tensors.query, tensors.key, tensors.value)
    )  # (B, T, H * D)

    def run() -> RawResult:
        output, weights = module(query, key, value, attn_mask=mask, average_attn_weights=False)
        return RawResult(output.unflatten(-1, (request.heads, -1)).transpose(1, 2), weights)

    return run


def _unsupported(request: Request) -> list[str]:
    reasons = cannot_run("torch-multihead", request)
    if request.kv_heads != request.heads:
        reasons.append(
            "nn.MultiheadAttention has a key head for every query head; "
            f"got {request.kv_heads} for {request.heads}"
        )
    if request.value_dim != request.head_dim:
        reasons.append(
            "nn.MultiheadAttention's heads are as wide in values as in queries; "
            f"got value_dim {request.value_dim} and head_dim {request.head_dim}"
        )
    rescaled = request.scale is not None or request.temperature != 1
    if request.dtype in SIXTEEN_BITS and rescaled:
        reasons.append(
            "nn.MultiheadAttention has no scale and no temperature; in the query's projection "
            f"they would round {request.dtype} queries a second time"
        )
    return reasons


MULTIHEAD = Implementation(
    name="torch-multihead",
    framework="torch",
    source="torch.nn.MultiheadAttention, need_weights=True, identity projections",
    devices=DEVICES,
    dtypes=DTYPES,
    returns=frozenset({"output", "weights"}),
    empty_rows="nan",
    causal_align=None,
    scores_dtype="storage",
    compiles=False,
    limits=(
        "Its boolean mask means the opposite, True where a query may not attend, and is turned "
        "before the call. One key head per query head, value_dim equal to head_dim. Scale and "
        "temperature go into the query's projection. Its time has four identity products of "
        "(H × D)² multiplications a token in it."
    ),
    unsupported=_unsupported,
    prepare=_prepare,
    scaled_query_dtype="storage",
    hidden_leaks=LEAKS_ALL,
    swallows=frozenset(),
    strided=True,
    gradients=by_autograd(_prepare),
)
