"""Gradients of the PyTorch implementations, by autograd through their own forward pass.

Whether a kernel has a backward is found by trying a small call of the same kind; torch's own
message is the reason that a table shows.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.kernels.implementation import Backward, GradientCall, RawGradients
from attnpanel.kernels.torch_.inputs import (
    small_call,
    tensor_of,
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

NAMES: Final = tuple(field.name for field in fields(RawGradients))


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
    wanted: tuple[str, ...] = NAMES,
) -> GradientCall:
    import torch

    tensors = torch_inputs(inputs, request)
    arrays: dict[str, Any] = {name: getattr(tensors, name) for name in NAMES}
    if arrays["bias"] is not None:
        arrays["bias"] = arrays["bias"][0]
    leaves = {name: arrays[name] for name in wanted if arrays[name] is not None}
    for leaf in leaves.values():
        leaf.requires_grad_()
    call = prepare(replace(inputs, **arrays), request, threads=threads)
    like = tensors.query
    given = tensor_of(output_gradient, like.dtype, like.device)

    def forward() -> tuple[RawResult, Callable[[], RawGradients]]:
        raw = call()

        def backward() -> RawGradients:
            # Kept: what was derived from the bias at preparation is in every call's graph.
            found = torch.autograd.grad(raw.output, list(leaves.values()), given, retain_graph=True)
            by_name = dict(zip(leaves, found, strict=True))
            return RawGradients(*(by_name.get(name) for name in NAMES))

        return raw, backward

    def only(name: str) -> Any:
        one = _prepare_gradients(
            prepare, inputs, request, output_gradient, threads=threads, wanted=(name,)
        )
        return getattr(one(), name)

    return GradientCall(forward, only)


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
