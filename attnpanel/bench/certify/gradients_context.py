"""One implementation's backward on one case, and how its gradients are judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.bench.certify.checks_state import heads_last, laid_out, packed
from attnpanel.bench.certify.gradients import NAMES
from attnpanel.bench.certify.gradients_units import gradient_models, half_last_bit, passing_units
from attnpanel.bench.certify.judged_rows import JudgedRows
from attnpanel.bench.certify.judgement import argmax_index, error_ratio, stored_in
from attnpanel.bench.certify.rounding import SIXTEEN_BIT, round_to
from attnpanel.bench.certify.sixteen_bits import last_bit, rounding_places
from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.implementation import GradientCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from attnpanel.bench.certify.gradients_units import GroupModel
    from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
    from attnpanel.kernels.implementation import Implementation, RawGradients
    from attnpanel.kernels.request import Inputs, Request

    Gradients = dict[str, NDArray[np.float64]]

# Is a gradient too large by a factor? In standard deviations of rounding.
GAIN_LIMIT: Final = 10.0
# The root mean square of a gradient's errors in standard deviations, of at least so many elements.
RMS_LIMIT: Final = 1.5
MIN_ELEMENTS: Final = 512
FEW_BITS: Final = 32


@dataclass(frozen=True, eq=False)
class Expected:
    """What is right for some inputs, to within which units.

    Attributes
    ----------
    request : Request
    values, units : dict of str to float array
        By the names of :data:`attnpanel.bench.certify.gradients.NAMES`.
    models : list of GroupModel
    chain : float
        Derivative of the rounded query by the query, where the query is scaled and rounded.
    passing : float
        The largest error that passes, in units.
    """

    request: Request
    values: dict[str, NDArray[np.floating]]
    units: dict[str, NDArray[np.floating]]
    models: list[GroupModel]
    chain: float
    passing: float

    @property
    def linear(self) -> bool:
        """Whether the model of rounding holds; not where 16-bit scores are too large for it."""
        return all(model.linear for model in self.models)

    def ratio(self, name: str, actual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each error in units, inf where it is not finite."""
        return error_ratio(
            actual,
            self.values[name],
            self.units[name],
            np.ones((), bool),
            stored=stored_in(self.request),
        )

    def excess(self, name: str, actual: NDArray[np.float64]) -> str:
        """Describe the largest error of a gradient if it fails; empty if none does."""
        ratio = self.ratio(name, actual)
        if not (ratio > self.passing).any():
            return ""
        at = argmax_index(ratio)
        return (
            f"up to {self.passing:g} units of rounding error pass; got {ratio[at]:.3g} at {at}: "
            f"{actual[at]:.9g} where {self.values[name][at]:.9g} is right"
        )

    def statistics(self, name: str, actual: NDArray[np.float64]) -> dict[str, float]:
        """Return the largest rms and gain of any group; no gain of the bias."""
        found = {"rms": 0.0, "gain": 0.0}
        for model in self.models:
            at = _index(name, model)
            right = self.values[name][at]
            error = np.where(np.isfinite(actual[at]), actual[at] - right, np.inf)
            half = half_last_bit(np.maximum(np.abs(right), np.abs(actual[at])), self.request.dtype)
            full = self.units[name][at] ** 2 + half**2 / 3
            if not np.isfinite(error).all():
                return {"rms": np.inf, "gain": np.inf}
            if error.size >= MIN_ELEMENTS:
                found["rms"] = max(found["rms"], float(np.sqrt((error**2 / full).mean())))
            if name != "bias":
                # Stored in a few bits, or flushed to zero, small float16 numbers err alike.
                test = np.where(np.abs(right) > FEW_BITS * half, right / full, 0)
                found["gain"] = max(found["gain"], _gain(name, model, error, test, half))
        return found


def _index(name: str, model: GroupModel) -> tuple[int | slice, ...]:
    group = model.group
    if name == "bias":
        return (group.heads,)
    return (group.batch, group.heads if name == "query" else group.kv_head)


def _gain(
    name: str,
    model: GroupModel,
    error: NDArray[np.floating],
    test: NDArray[np.floating],
    half: NDArray[np.floating],
) -> float:
    deviation = model.deviation(name, test, half)
    # One last bit more or less of two elements is no news.
    excess = abs(float((error * test).sum())) - float((4 * half * np.abs(test)).max())
    return max(excess, 0.0) / deviation if deviation > 0 else 0.0


@dataclass(frozen=True, eq=False)
class GradientContext:
    """An implementation, a request with inputs, and the output's gradient.

    Attributes
    ----------
    implementation : Implementation
        With `gradients`.
    request : Request
    inputs : Inputs
    output_gradient : float array of shape (B, H, T, Dv)
    """

    implementation: Implementation
    request: Request
    inputs: Inputs
    output_gradient: NDArray[np.floating]

    @property
    def places(self) -> RoundingPlaces | None:
        """Where the implementation rounds 16-bit numbers."""
        return rounding_places(self.implementation, self.request)

    @property
    def cells(self) -> int:
        """The number of scores."""
        request = self.request
        return request.batch * request.heads * request.query_len * request.key_len

    @cached_property
    def actual(self) -> Gradients:
        """The gradients of the case's inputs, at a first call."""
        return self.run(self.inputs, self.output_gradient)

    @cached_property
    def expected(self) -> Expected:
        """The reference gradients of the case's inputs."""
        return self.expect(self.inputs, self.output_gradient)

    def run(self, inputs: Inputs, output_gradient: NDArray[np.floating]) -> Gradients:
        """Return the implementation's gradients.

        Raises
        ------
        ValueError
            If a gradient is missing or not in the shape and dtype of its input.
        """
        return self._read(inputs, self._prepared(inputs, output_gradient)())

    def run_again(self) -> tuple[tuple[str, Gradients], ...]:
        """Return, with its name, what else one preparation on the case's inputs computes."""
        call = self._prepared(self.inputs, self.output_gradient)
        call()
        again = self._read(self.inputs, call())
        found = [("a second call of one preparation", again)]
        if isinstance(call, GradientCall):
            _, backward = call.forward()
            backward()
            found.append(("a second backward pass", self._read(self.inputs, backward())))
            _, backward = call.forward()
            other = replace(self.inputs, query=-self.inputs.query)
            self.run(other, self.output_gradient)
            found.append(
                ("a backward pass after another call", self._read(self.inputs, backward()))
            )
        return tuple(found)

    def ways(self) -> Iterator[tuple[str, Gradients]]:
        """Return, with its name, what other ways to ask for the gradients of the case give.

        The same numbers in other layouts, and one gradient at a time, where a call offers that.
        """
        yield (
            "dO with heads last in memory",
            self.run(self.inputs, heads_last(self.output_gradient)),
        )
        if self.implementation.strided or self.implementation.adjacent_strided:
            for what, inputs in self._layouts():
                yield f"inputs {what}", self.run(inputs, self.output_gradient)
        only = getattr(self._prepared(self.inputs, self.output_gradient), "only", None)
        if only is not None:
            for name in self.actual:
                array = self._array(self.inputs, name, only(name))
                yield f"the {name} alone needs one", {name: array}

    def _layouts(self) -> Iterator[tuple[str, Inputs]]:
        given = self.inputs
        yield "with heads last in memory", laid_out(given, ("heads last",) * 3)
        yield "that are slices of a cache", laid_out(given, ("a slice of a cache",) * 3)
        if given.query.shape == given.key.shape == given.value.shape:
            parts = {name: getattr(given, name) for name in ("query", "key", "value")}
            yield "packed in one array", replace(given, **packed(parts))

    def outputs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return the output of the call that is differentiated, and of one that is not."""
        call = self._prepared(self.inputs, self.output_gradient)
        if not isinstance(call, GradientCall):
            return None
        raw, _ = call.forward()
        plain = self.implementation.prepare(self.inputs, self.request)()
        return to_float64(raw.output), to_float64(plain.output)

    def _prepared(
        self, inputs: Inputs, output_gradient: NDArray[np.floating]
    ) -> Callable[[], RawGradients]:
        backward = self.implementation.gradients
        if backward is None:
            raise ValueError(f"{self.implementation.name} declares no gradients")
        return backward.prepare(inputs, self.request, output_gradient)

    def _read(self, inputs: Inputs, raw: RawGradients) -> Gradients:
        given = [name for name in NAMES if getattr(inputs, name) is not None]
        return {name: self._array(inputs, name, getattr(raw, name)) for name in given}

    def _array(self, inputs: Inputs, name: str, array: Any) -> NDArray[np.float64]:
        shape = getattr(inputs, name).shape
        if array is None:
            raise ValueError(f"there must be a gradient of the {name}; got None")
        facts = describe(array)
        if facts.shape != shape:
            raise ValueError(
                f"the gradient of the {name} must have its shape {shape}; got {facts.shape}"
            )
        return to_float64(array)

    def expect(self, inputs: Inputs, output_gradient: NDArray[np.floating]) -> Expected:
        """Return what is right for these inputs."""
        view = JudgedRows(self.request, None, self.places)
        request, judged = view.request, view.inputs(inputs)
        backward = self.implementation.gradients
        values, units, models = gradient_models(
            request,
            judged,
            output_gradient,
            self.places,
            through_maximum=backward is not None and backward.through_maximum,
        )
        chain = 1.0
        if self.places is not None and self.places.scaled_query:
            # The gradient of the rounded query is stored, and multiplied by the scale.
            chain = view.query_factor
            stored = last_bit(values["query"], request.dtype) ** 2 / 12
            units["query"] = abs(chain) * np.sqrt(units["query"] ** 2 + stored)
            values["query"] = chain * values["query"]
        return Expected(request, values, units, models, chain, passing_units(self.places))


def draw_output_gradient(request: Request, seed: int = 0) -> NDArray[np.floating]:
    """Draw the output's gradient, standard normal, rounded to the request's dtype."""
    shape = (request.batch, request.heads, request.query_len, request.value_dim)
    return round_to(np.random.default_rng((seed, 1)).standard_normal(shape), request.dtype)


def doubles_exactly(request: Request) -> bool:
    """Return whether 2 · dO doubles every bit: not in float16, whose small numbers lose bits."""
    return request.dtype not in SIXTEEN_BIT or request.dtype == "bfloat16"
