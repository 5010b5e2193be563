"""What one timed call is, by the direction of its case: an attention, its gradients, or both."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.certify.checks_metadata import not_in_memory
from attnpanel.bench.certify.gradients import NAMES
from attnpanel.bench.certify.gradients_checks import value_failures
from attnpanel.bench.certify.gradients_context import GradientContext
from attnpanel.bench.measure.cuda_graphs import capture_cuda_graph
from attnpanel.bench.run.prepared_inputs import held_copies, held_inputs, scale, scaled
from attnpanel.bench.run.timed_results import (
    FrozenRows,
    RefusedError,
    ResultObserver,
    freeze_rows,
    judge_rows,
)
from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.implementation import RawGradients
from attnpanel.kernels.request import Inputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.bench.certify.cases import Case
    from attnpanel.bench.run.fresh_inputs import InputSource, Variation
    from attnpanel.kernels.implementation import GradientCall, Implementation
    from attnpanel.kernels.request import Request

# The least share of a forward pass that a backward pass takes, beyond what clocks resolve.
BACKWARD_SHARE, BACKWARD_S, SHARE_PAIRS = 0.25, 1e-4, 5


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """The attention alone.

    `first_factor` is the power of two by which what a call holds is multiplied, to see that it
    reads it.
    """

    implementation: Implementation
    case: Case
    source: InputSource
    threads: int
    cuda_graphs: bool
    first_factor: float = 2.0

    def inputs(self, variation: Variation) -> tuple[Inputs]:
        """Return the inputs of a variation."""
        return (self.source.inputs(variation),)

    def prepare(self, inputs: Inputs) -> Callable[[], Any]:
        """Return a call of the implementation."""
        call: Callable[[], Any] = self.implementation.prepare(
            inputs, self.case.request, threads=self.threads
        )
        return call

    def ready(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Capture the call, if asked to."""
        if self.cuda_graphs and self.case.request.device == "cuda":
            return capture_cuda_graph(call)
        return call

    def observer(self) -> ResultObserver[FrozenRows]:
        """Return an observer that keeps rows."""
        return ResultObserver(
            functools.partial(freeze_rows, self.implementation, self.case.request)
        )

    def judge(self, frozen: Any, variation: Variation, factor: float = 1.0) -> str:
        """Judge rows by the certificate's checks."""
        inputs = scaled(self.source.inputs(variation), factor)
        return judge_rows(self.implementation, self.case, inputs, frozen)

    def held(self, call: Callable[[], Any], variation: Variation) -> list[Any]:
        """Return the arrays in which a call holds query, key and value."""
        return held_inputs(call, self.source.inputs(variation))

    def check_backward(self) -> None:
        """Nothing: there is none."""


@dataclass(frozen=True, eq=False)
class FrozenGradients:
    """The gradients of one key head and its queries, copied when the clock stopped.

    Attributes
    ----------
    call : int
    failure : str
    batch : slice
        One batch entry; all where they share the gradient of a bias.
    kv_head : int
    results : dict of str to float64 array
        By the names of :data:`bench.certify.gradients.NAMES`.
    """

    call: int
    failure: str
    batch: slice
    kv_head: int
    results: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class GradientPass:
    """The gradients, after the forward pass or with it."""

    implementation: Implementation
    case: Case
    source: InputSource
    threads: int
    first_factor: float = 0.5  # scores that grow are not linear in 16 bits

    @property
    def request(self) -> Request:
        """The request of the forward pass."""
        return replace(self.case.request, direction="forward")

    def inputs(self, variation: Variation) -> tuple[Inputs, NDArray[np.floating]]:
        """Return the inputs of a variation, and its gradient of the output."""
        return self.source.inputs(variation), self.source.output_gradient(variation)

    def prepare(self, inputs: Inputs, given: NDArray[np.floating]) -> GradientCall:
        """Return a call of both passes."""
        backward = self.implementation.gradients
        if backward is None:
            raise RefusedError(f"{self.implementation.name} declares no gradients")
        call: GradientCall = backward.prepare(inputs, self.request, given, threads=self.threads)
        return call

    def ready(self, call: Any) -> Callable[[], Any]:
        """Make the forward pass, where only the backward pass is timed."""
        if self.case.request.direction == "both":
            both: Callable[[], Any] = call
            return both
        _, backward = call.forward()
        timed: Callable[[], Any] = backward
        return timed

    def observer(self) -> ResultObserver[FrozenGradients]:
        """Return an observer that keeps the gradients of one key head."""
        return ResultObserver(functools.partial(freeze_gradients, self.request))

    def judge(self, frozen: Any, variation: Variation, factor: float = 1.0) -> str:
        """Judge gradients by the certificate's check of values."""
        inputs = scaled(self.source.inputs(variation), factor)
        given = self.source.output_gradient(variation)
        given *= given.dtype.type(factor)
        return judge_gradients(self.implementation, self.request, inputs, given, frozen)

    def held(self, call: Callable[[], Any], variation: Variation) -> list[Any]:
        """Return the arrays in which a call holds its inputs and the output's gradient."""
        given = self.source.output_gradient(variation)
        return held_inputs(call, self.source.inputs(variation), given)

    def check_backward(self) -> None:
        """Check that the forward pass, which is not timed, does not compute the gradients.

        Raises
        ------
        RefusedError
            If the output's gradient was halved in place after the forward pass and the gradients
            are not half; or, where a call does not hold it, if a backward pass takes too little.
        """
        if self.case.request.direction != "backward":
            return
        variation = self.source.draw()
        inputs, given = self.inputs(variation)
        call = self.prepare(*self.inputs(variation))
        _, backward = call.forward()
        held = held_copies([call, backward], given)
        if not held:
            self._check_share()
            return
        scale(held, 0.5)
        frozen = freeze_gradients(self.request, backward(), 0, np.random.default_rng())
        half = given * given.dtype.type(0.5)
        if wrong := judge_gradients(self.implementation, self.request, inputs, half, frozen):
            raise RefusedError(
                f"a backward pass must compute from the output's gradient as it is then: {wrong}"
            )

    def _check_share(self) -> None:
        """Check that a backward pass, of twice the products, takes a quarter of a forward pass."""
        for _ in range(SHARE_PAIRS):
            call = self.prepare(*self.inputs(self.source.draw()))
            times = [process_time()]
            _, backward = call.forward()
            times.append(process_time())
            backward()
            times.append(process_time())
            forward_s, backward_s = np.diff(times)
            if backward_s > BACKWARD_SHARE * forward_s - BACKWARD_S:
                return
        raise RefusedError(
            "a forward pass must not compute the gradients; it took "
            f"{forward_s * 1e3:.3g} ms of CPU time, the backward pass {backward_s * 1e3:.3g} ms"
        )


def timed_pass(
    implementation: Implementation,
    case: Case,
    source: InputSource,
    *,
    threads: int,
    cuda_graphs: bool,
) -> ForwardPass | GradientPass:
    """Return the pass of a case's direction."""
    if case.request.direction == "forward":
        return ForwardPass(implementation, case, source, threads, cuda_graphs)
    return GradientPass(implementation, case, source, threads)


def freeze_gradients(
    request: Request, result: Any, call: int, rng: np.random.Generator
) -> FrozenGradients:
    """Copy the gradients of a random key head."""
    entry, kv = int(rng.integers(request.batch)), int(rng.integers(request.kv_heads))
    batch = slice(None) if request.bias else slice(entry, entry + 1)
    frozen = FrozenGradients(call, "", batch, kv, {})
    if type(result) is not RawGradients:
        why = f"a backward pass must return RawGradients; got {type(result).__name__}"
        return replace(frozen, failure=why)
    wanted = [name for name in NAMES if name != "bias" or request.bias]
    arrays = {name: getattr(result, name) for name in wanted}
    if failure := not_in_memory(arrays) or _wrong_shape(request, arrays):
        return replace(frozen, failure=failure)
    places = {"bias": (_heads(request, kv),), "query": (batch, _heads(request, kv))}
    for name, array in arrays.items():
        part = array[places.get(name, (batch, slice(kv, kv + 1)))]
        frozen.results[name] = to_float64(part)
    return frozen


def judge_gradients(
    implementation: Implementation,
    request: Request,
    inputs: Inputs,
    output_gradient: NDArray[np.floating],
    frozen: FrozenGradients,
) -> str:
    """Judge the gradients of one key head; return what is wrong, or an empty string."""
    if frozen.failure:
        return frozen.failure
    heads, kv = _heads(request, frozen.kv_head), slice(frozen.kv_head, frozen.kv_head + 1)
    query = inputs.query[frozen.batch, heads]
    part = replace(
        request,
        batch=len(query),
        heads=query.shape[1],
        kv_heads=1,
        mask="none",
        align="top_left",
        pad_lens=None,
        window=None,
        mask_options=(),
    )
    mask = inputs.mask
    if mask is not None:
        mask = mask[(None,) * (4 - mask.ndim)]
        mask = mask[frozen.batch if len(mask) > 1 else slice(None)]
        mask = mask[:, heads] if mask.shape[1] > 1 else mask
    some = Inputs(
        query=query,
        key=inputs.key[frozen.batch, kv],
        value=inputs.value[frozen.batch, kv],
        mask=mask,
        bias=None if inputs.bias is None else inputs.bias[heads],
    )
    context = GradientContext(implementation, part, some, output_gradient[frozen.batch, heads])
    if not context.expected.linear:
        return ""
    for name, array in frozen.results.items():
        if wrong := value_failures(context.expected, name, array):
            return f"d {name}: {wrong} (key head {frozen.kv_head})"
    return ""


def _heads(request: Request, kv_head: int) -> slice:
    group = request.heads // request.kv_heads
    return slice(kv_head * group, (kv_head + 1) * group)


def _wrong_shape(request: Request, arrays: dict[str, Any]) -> str:
    queries = (request.batch, request.heads, request.query_len)
    keys = (request.batch, request.kv_heads, request.key_len)
    shapes = {
        "query": (*queries, request.head_dim),
        "key": (*keys, request.head_dim),
        "value": (*keys, request.value_dim),
        "bias": (request.heads, request.query_len, request.key_len),
    }
    for name, array in arrays.items():
        if (shape := describe(array).shape) != shapes[name]:
            return f"the gradient of the {name} must have its shape {shapes[name]}; got {shape}"
    return ""
