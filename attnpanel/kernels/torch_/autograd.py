"""Gradients of the PyTorch implementations, by autograd through their own forward pass.

Whether a kernel has a backward is found by trying a small call of the same kind; torch's own
message is the reason that a table shows.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.kernels.implementation import Backward, GradientCall, RawGradients
from attnpanel.kernels.torch_.inputs import (
    small_call,
    torch_failures,
    torch_inputs,
    zero_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.implementation import RawResult
    from attnpanel.kernels.request import Inputs, Request

    Prepare = Callable[..., Callable[[], RawResult]]


def by_autograd(
    prepare: Prepare,
    *,
    attempt: bool = True,
    unsupported: Callable[[Request], list[str]] | None = None,
) -> Backward:
    """Return the gradients that autograd gives of a prepared call.

    Parameters
    ----------
    prepare : callable
        The implementation's own, which reads query, key, value and bias by `torch_inputs`.
    attempt : bool
        Whether a small call tells if there is a backward; not where each call compiles.
    unsupported : callable, optional
        Reasons beside what the small call tells.
    """

    def reasons(request: Request) -> list[str]:
        found = list(unsupported(request)) if unsupported is not None else []
        if not found and attempt and (refusal := _refusal(prepare, small_call(request))):
            found.append(f"torch gives no gradients: {refusal}")
        return found

    return Backward(
        source="torch.autograd.grad",
        unsupported=reasons,
        prepare=functools.partial(_prepare_gradients, prepare),
        deterministic_on=("cpu",),
    )


def _prepare_gradients(
    prepare: Prepare,
    inputs: Inputs,
    request: Request,
    output_gradient: NDArray[np.floating],
    *,
    threads: int = 1,
) -> GradientCall:
    import torch

    tensors = torch_inputs(inputs, request)
    names = ["query", "key", "value", *(["bias"] if tensors.bias is not None else [])]
    leaves: dict[str, Any] = {name: getattr(tensors, name) for name in names}
    if "bias" in leaves:
        leaves["bias"] = leaves["bias"][0]
    for leaf in leaves.values():
        leaf.requires_grad_()
    call = prepare(replace(inputs, **leaves), request, threads=threads)
    given = torch.tensor(output_gradient, dtype=tensors.query.dtype, device=tensors.query.device)

    def forward() -> tuple[RawResult, Callable[[], RawGradients]]:
        raw = call()

        def backward() -> RawGradients:
            # Kept: what was derived from the bias at preparation is in every call's graph.
            found = torch.autograd.grad(raw.output, list(leaves.values()), given, retain_graph=True)
            return RawGradients(**dict(zip(leaves, found, strict=True)))

        return raw, backward

    return GradientCall(forward)


def _refusal(prepare: Prepare, request: Request) -> str | None:
    """Return torch's message if it refuses a backward of this kind, else None."""
    try:
        return _refusal_of(prepare, request)
    except torch_failures():
        # No refusal, and not remembered: the call itself will tell.
        return None


@functools.cache
def _refusal_of(prepare: Prepare, request: Request) -> str | None:
    shape = (request.batch, request.heads, request.query_len, request.value_dim)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _prepare_gradients(prepare, zero_inputs(request), request, np.zeros(shape))()
        except torch_failures():
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, there are no gradients
            return str(error).strip().partition("\n")[0]
    return None
