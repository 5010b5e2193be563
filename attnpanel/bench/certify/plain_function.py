"""Make an Implementation of a function ``fn(query, key, value, *, mask, scale, is_causal)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attnpanel.bench.certify.function_observation import (
    ADJACENT,
    FEATURES,
    STRIDED,
    FunctionError,
    Observed,
    framework_of,
    observe,
)
from attnpanel.bench.certify.plain_call import DTYPES, Framework, PlainCall
from attnpanel.bench.certify.plain_gradients import plain_backward
from attnpanel.kernels.implementation import Implementation, RawResult
from attnpanel.kernels.reasons import device_is_here, no_device

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.kernels.request import DType, Inputs, Request


def as_implementation(
    subject: Implementation | Callable[..., Any],
    name: str,
    *,
    framework: Framework | None = None,
    device: str = "cpu",
) -> Implementation:
    """Return an Implementation as it is, and a function as :func:`implementation_of` makes it."""
    if isinstance(subject, Implementation):
        return subject
    return implementation_of(subject, name, framework=framework, device=device)


def implementation_of(
    function: Callable[..., Any],
    name: str,
    *,
    framework: Framework | None = None,
    device: str = "cpu",
) -> Implementation:
    """Return an implementation that calls a plain function, declared as it was seen to do.

    Parameters
    ----------
    function : callable
        ``fn(query, key, value, *, mask, scale, is_causal)``, of (B, H, T, D), (B, Hkv, S, D) and
        (B, Hkv, S, Dv), returns the output, (B, H, T, Dv), in the inputs' dtype. ``mask`` is None
        or boolean, (B or 1, 1, T, S), True where a query may attend; ``scale`` a float;
        ``is_causal`` True, and then ``mask`` None, for a causal call with T = S. It may leave out
        any of these keywords, and may take ``bias``, (1, H, T, S), which is added to the scores.
    name : str
    framework : {"numpy", "torch", "jax"}, optional
        By default its attribute ``framework``, or that of whose arrays it takes and returns.
    device : str
        Type of device by torch's name; other than the CPU for tensors only.

    Raises
    ------
    FunctionError
        If it computes no single head without a mask in any dtype; the message has its exception. Or
        if the framework is unknown.
    """
    call = PlainCall(function)
    framework = framework or getattr(function, "framework", None)
    if framework not in (None, *DTYPES):
        raise FunctionError(f"framework must be numpy, torch or jax; got {framework!r}")
    observed = observe(call, framework or framework_of(call, device), device)
    places = observed.places

    def prepare(
        inputs: Inputs,
        request: Request,
        *,
        threads: int = 1,  # noqa: ARG001 - those of its process
    ) -> Callable[[], RawResult]:
        return call.prepare(inputs, request, observed.framework)

    def unsupported(request: Request) -> list[str]:
        return _reasons(observed, request, device)

    storage: dict[bool, Literal["storage", "float32"]] = {True: "storage", False: "float32"}
    return Implementation(
        name=name,
        framework=observed.framework,
        source=name,
        devices=(device,),
        dtypes=observed.dtypes,
        returns=frozenset({"output"}),
        empty_rows=observed.empty_rows,
        causal_align=None,
        scores_dtype=storage[places.scores],
        compiles=False,
        limits="; ".join(f"{what}: {why}" for what, why in observed.declined.items()),
        unsupported=unsupported,
        prepare=prepare,
        weights_dtype=storage[places.weights],
        scaled_query_dtype=storage[places.scaled_query],
        hidden_leaks=observed.hidden_leaks,
        swallows=observed.swallows,
        strided=STRIDED not in observed.declined,
        adjacent_strided=ADJACENT not in observed.declined,
        reads_in_place=_in_place(observed.framework, device),
        gradients=plain_backward(call, observed.framework),
    )


def _in_place(framework: Framework, device: str) -> frozenset[DType]:
    """Return the dtypes whose arrays are handed on without a copy."""
    if device != "cpu" or framework == "jax":
        return frozenset()
    return frozenset(dtype for dtype in DTYPES[framework] if dtype != "bfloat16")


def _reasons(observed: Observed, request: Request, device: str) -> list[str]:
    if request.device != device:
        return [f"it was observed on {device}; got device {request.device}"]
    if not device_is_here(device):
        return [no_device(device)]
    needed: list[str] = [request.dtype] if request.dtype not in observed.dtypes else []
    needed += [name for name, (needs, _) in FEATURES.items() if needs(request)]
    return [
        f"{name} is declined: {observed.declined.get(name, 'not computed')}"
        for name in needed
        if name in observed.declined or name == request.dtype
    ]
