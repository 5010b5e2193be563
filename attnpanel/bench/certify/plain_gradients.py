"""Gradients of a plain function by automatic differentiation: PyTorch's autograd, or jax.vjp."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.run.exception_text import format_exception
from attnpanel.kernels.implementation import Backward, GradientCall, RawGradients, RawResult
from attnpanel.kernels.torch_.autograd import by_autograd
from attnpanel.kernels.torch_.inputs import small_call, zero_inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.bench.certify.plain_call import Framework, PlainCall
    from attnpanel.kernels.request import Inputs, Request

NO_GRADIENTS = "gradients need a function of PyTorch tensors or JAX arrays; it takes NumPy arrays"


def plain_backward(call: PlainCall, framework: Framework) -> Backward | None:
    """Return how gradients of a function are computed; None of NumPy's arrays."""
    match framework:
        case "torch":

            def prepare(
                inputs: Inputs, request: Request, *, threads: int = 1
            ) -> Callable[[], RawResult]:
                del threads  # those of its process
                return call.prepare(inputs, request, framework)

            return replace(by_autograd(prepare), through_maximum=True)
        case "jax":
            return Backward(
                source="jax.vjp",
                unsupported=functools.partial(_refusals, call),
                prepare=functools.partial(_prepare, call),
                deterministic_on=("cpu",),
                through_maximum=True,
            )
    return None


def _prepare(
    call: PlainCall,
    inputs: Inputs,
    request: Request,
    output_gradient: NDArray[np.floating],
    *,
    threads: int = 1,  # noqa: ARG001 - those of its process
) -> GradientCall:
    import jax
    import jax.numpy as jnp

    names = ["query", "key", "value", *(["bias"] if inputs.bias is not None else [])]
    dtype = jnp.dtype(request.dtype)
    leaves = [jnp.asarray(getattr(inputs, name).astype(dtype)) for name in names]
    given = jnp.asarray(output_gradient.astype(dtype))

    def attention(*arrays: Any) -> Any:
        fields = dict(zip(names, arrays, strict=True))
        return call.prepare(replace(inputs, **fields), request, "jax")().output

    def forward() -> tuple[RawResult, Callable[[], RawGradients]]:
        output, pull_back = jax.vjp(attention, *leaves)

        def backward() -> RawGradients:
            return RawGradients(**dict(zip(names, pull_back(given), strict=True)))

        return RawResult(output), backward

    return GradientCall(forward)


def _refusals(call: PlainCall, request: Request) -> list[str]:
    """Return JAX's message if it gives no gradients of a small call of the same kind."""
    small = small_call(request)
    shape = (small.batch, small.heads, small.query_len, small.value_dim)
    try:
        _prepare(call, zero_inputs(small), small, np.zeros(shape))()
    except Exception as error:  # noqa: BLE001 - whatever it is, there are no gradients
        return [f"JAX gives no gradients: {format_exception(error)}"]
    return []
