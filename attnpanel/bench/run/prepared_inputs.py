"""Check that a prepared call computes, and that preparing it did not.

What a call is given it keeps in arrays that can be reached from it. Those that hold inputs are
doubled in place, and later halved: a call that computes then gives the attention of these inputs,
whatever their layout; one that was computed before does not.
"""

from __future__ import annotations

import gc
import sys
import types
from collections import deque
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.kernels.arrays import owner_of, to_float64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from attnpanel.kernels.request import Inputs

# A call holds few objects; more are a framework's own.
MAX_OBJECTS: Final = 20_000
# The largest relative change of an element by rounding to bfloat16.
MAX_ROUNDING: Final = 2**-8
# Their members lead to everything in the process.
OPAQUE: Final = (type, types.ModuleType, types.FrameType, types.CodeType, str, bytes, int, float)


def held_inputs(
    call: Callable[[], Any], inputs: Inputs, output_gradient: NDArray[np.floating] | None = None
) -> list[Any]:
    """Return the arrays, each once, in which a call holds its inputs.

    Empty if none can be reached from the call, or told from its bias.

    Parameters
    ----------
    call : function without arguments
        Prepared with these inputs.
    inputs : Inputs
        Equal to those that it was prepared with, in other memory.
    output_gradient : array, optional
        Of a call that computes gradients; as an input.
    """
    parts = [inputs.query, inputs.key, inputs.value]
    known = [_profile(list(some)) for n in (1, 2, 3) for some in combinations(parts, n)]
    if output_gradient is not None:
        known.append(_profile([output_gradient]))
    sizes = {size for size, _ in known}
    if inputs.bias is not None and inputs.bias.size in sizes:
        return []
    held: dict[int, Any] = {}
    for array in _arrays_within(call):
        whole, address, size = _memory_of(array)
        if size not in sizes or address in held or not _is_writable(whole):
            continue
        if _is_one_of(known, whole):
            held[address] = whole
    return list(held.values())


def held_copies(calls: list[Callable[..., Any]], values: NDArray[np.floating]) -> list[Any]:
    """Return the arrays, each once, that calls hold and that have exactly these values."""
    held: dict[int, Any] = {}
    for array in _arrays_within(calls):
        whole, address, size = _memory_of(array)
        if size != values.size or address in held or not _is_writable(whole):
            continue
        if np.array_equal(to_float64(whole).ravel(), values.astype(np.float64).ravel()):
            held[address] = whole
    return list(held.values())


def scale(held: list[Any], factor: float) -> None:
    """Multiply arrays in place by a power of two, which rounds nothing."""
    for array in held:
        array[...] = array * factor


def scaled(inputs: Inputs, factor: float) -> Inputs:
    """Return inputs whose queries, keys and values are multiplied by a power of two."""
    arrays = {name: getattr(inputs, name) for name in ("query", "key", "value")}
    return replace(
        inputs, **{name: array * array.dtype.type(factor) for name, array in arrays.items()}
    )


def _profile(arrays: list[Any]) -> tuple[int, float]:
    """Return the number of elements and the largest magnitude over the mean one.

    Neither depends on the layout, on a factor, or on a concatenation of arrays of one scale.
    """
    flat = [np.abs(array, dtype=np.float64).ravel() for array in arrays]
    size = sum(part.size for part in flat)
    mean = sum(float(part.sum()) for part in flat) / size
    return size, max(float(part.max()) for part in flat) / max(mean, 1e-300)


def _is_one_of(known: list[tuple[int, float]], array: Any) -> bool:
    size, peak = _profile([to_float64(array)])
    return any(size == one and abs(peak / other - 1) < MAX_ROUNDING for one, other in known)


def _arrays_within(call: Any) -> Iterator[Any]:
    """Yield the floating-point arrays that can be reached from a call, not through modules."""
    namespaces = {id(vars(module)) for module in list(sys.modules.values())}
    seen, queue = {id(call)}, deque([call])
    while queue and len(seen) < MAX_OBJECTS:
        found = queue.popleft()
        if _is_float_array(found):
            yield found
            continue
        for member in gc.get_referents(found):
            if id(member) in seen or id(member) in namespaces or isinstance(member, OPAQUE):
                continue
            seen.add(id(member))
            queue.append(member)


def _is_writable(array: Any) -> bool:
    if isinstance(array, np.ndarray):
        return bool(array.flags.writeable)
    return not array.is_inference()


def _is_float_array(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(np.issubdtype(value.dtype, np.floating))
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.is_floating_point()


def _memory_of(array: Any) -> tuple[Any, int, int]:
    """Return the writable array that owns the memory, its address and its number of elements."""
    if isinstance(array, np.ndarray):
        array = owner_of(array)
        return array, array.__array_interface__["data"][0], array.size
    while array._base is not None:  # noqa: SLF001 - torch's name for the tensor of a view
        array = array._base  # noqa: SLF001
    array = array.detach()
    return array, array.data_ptr(), array.numel()
