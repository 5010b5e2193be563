"""The checks of what a kernel may remember: earlier calls, addresses and layouts of its inputs."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from attnpanel.bench.certify.checks_mask import with_holes, work_of, wrong_output
from attnpanel.bench.certify.checks_numeric import wrong_beside_output
from attnpanel.bench.certify.context import make_check, returned_arrays
from attnpanel.bench.certify.judged_rows import fresh_copy, inputs_of, reference_of
from attnpanel.bench.certify.judgement import judge
from attnpanel.kernels.arrays import to_float64

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.bench.certify.context import CertificateContext
    from attnpanel.bench.run.records import Check
    from attnpanel.kernels.request import Inputs

# Of query, key and value, by the names of `LAYOUTS`.
Layouts: TypeAlias = tuple[str, str, str]
# Calls of one preparation: 50 in small cases only, two in large ones.
CALLS: Final = (2, 7, 50)
# Scores times channels up to which a case is called 50 times, and seven times.
SMALL: Final = 2**20
MEDIUM: Final = 2**26
# Added to a case's seed for the other inputs that are written into the same arrays.
OTHER_SEED: Final = 2**20


def repeated_calls(context: CertificateContext) -> Check:
    """Check that later calls return the bits of the first, and leave its result as it was."""
    first = {name: to_float64(array) for name, array in returned_arrays(context.raw).items()}
    for name, array in first.items():
        if not np.array_equal(context.view.of(array), context.results[name], equal_nan=True):
            return make_check(
                "repeated calls", f"a result must stay as it was returned; its {name} changed"
            )
    # Kept, so that no later result may have their memory.
    kept, addresses = [context.raw.output], {address_of(context.raw.output)} - {None}
    for call in range(2, calls_of(context) + 1):  # the numbers of calls of this preparation
        later = returned_arrays(context.call())
        kept.append(later.get("output"))
        address = address_of(kept[-1])
        if address in addresses:
            why = f"a result must have memory of its own; call {call} returned that of an earlier"
            return make_check("repeated calls", why)
        addresses |= {address} - {None}
        for name, once in first.items():
            if name not in later or not np.array_equal(
                to_float64(later[name]), once, equal_nan=True
            ):
                why = f"call {call} must return the {name} of the first, bit by bit; got another"
                return make_check("repeated calls", why)
    for name, stored in returned_arrays(context.raw).items():
        if not np.array_equal(to_float64(stored), first[name], equal_nan=True):
            return make_check(
                "repeated calls", f"a result must stay as it was returned; its {name} changed"
            )
    return make_check("repeated calls", "")


def address_of(array: Any) -> int | None:
    """Return where an array of NumPy or PyTorch begins in memory; None of others."""
    if isinstance(array, np.ndarray):
        return int(array.__array_interface__["data"][0])
    return array.data_ptr() if hasattr(array, "data_ptr") else None


def calls_of(context: CertificateContext) -> int:
    """Return how many calls of one preparation are made, by the size of the case."""
    work = work_of(context.case.request)
    return CALLS[2] if work <= SMALL else CALLS[1] if work <= MEDIUM else CALLS[0]


def changed_inputs(context: CertificateContext) -> Check:
    """Check that new inputs at the addresses of old ones give the new inputs' result.

    Other inputs are written into the arrays of a preparation, and prepared again; what the first
    call returned must stay as it was. Where the implementation declares that it reads its inputs in
    place, the earlier preparation must then return the same result.

    In small cases the other inputs are those of another seed, other signs of the query alone, and
    holes in the mask; in larger ones
    the same with other signs, so that no other reference is needed: ``(-q) (-k) = q k``, and values
    change the output's sign.
    """
    request, view = context.case.request, context.view
    storage = fresh_copy(context.inputs)
    before = context.implementation.prepare(storage, request, threads=context.threads)
    kept = returned_arrays(before())
    copies = {name: to_float64(array) for name, array in kept.items()}
    small = is_small(context)
    if small and (failures := context.judge(view.of(copies["output"])).failures):
        return make_check("changed inputs", f"in fresh storage: {'; '.join(failures)}")
    other = replace(context.case, seed=context.case.seed + OTHER_SEED)
    _write(storage, inputs_of(other) if small else _with_other_signs(context.inputs))
    after = context.implementation.prepare(storage, request, threads=context.threads)
    second = view.of(to_float64(after().output))
    if small:
        expected, judged = reference_of(other, view), view.inputs(storage)
        failures = judge(view.request, judged, second, expected, places=view.places).failures
    else:
        failures = context.judge(-second).failures
    if failures:
        return make_check("changed inputs", f"prepared again: {'; '.join(failures)}")
    again = view.of(to_float64(before().output))
    for name, array in kept.items():
        if not np.array_equal(to_float64(array), copies[name], equal_nan=True):
            return make_check(
                "changed inputs",
                f"a result must stay as it was returned; its {name} changed with the inputs, or by "
                "another call",
            )
    mirrored = replace(context.inputs, query=-context.inputs.query)
    if small and (why := wrong_output(context, mirrored, mirrored)):
        return make_check("changed inputs", f"the query's signs alone: {why}")
    if small and (why := _wrong_if_mask_changes(context, storage)):
        return make_check("changed inputs", f"another mask in the same memory: {why}")
    # Without that declaration it may have copied all of the inputs, or some of them.
    in_place = request.dtype in context.implementation.reads_in_place
    if in_place and not np.array_equal(again, second, equal_nan=True):
        return make_check(
            "changed inputs",
            "a call that reads its inputs in place must see that they changed; it did not",
        )
    return make_check("changed inputs", "")


def _wrong_if_mask_changes(context: CertificateContext, storage: Inputs) -> str:
    """Return what is wrong after holes were made in the mask in place; it is put back."""
    mask = storage.mask
    if mask is None or context.case.request.mask == "causal":
        return ""
    kept = mask.copy()
    mask[...] = with_holes(mask, context.case.seed)
    found = wrong_output(context, storage, storage)
    mask[...] = kept
    return found


def strided_inputs(context: CertificateContext) -> Check | None:
    """Check the results of inputs that are not contiguous, if the implementation claims them.

    Each input comes in each layout: heads last, a slice of a longer cache, and, if that is claimed,
    channels that are not adjacent; the mask as a part of a longer one. In small cases also in other
    orders of the axes, and inputs that heads, sequences, tokens, or query, key and value share.
    """
    small = is_small(context)
    layouts: tuple[Layouts, ...] = ADJACENT_LAYOUTS + OTHER_LAYOUTS * small
    if context.implementation.strided:
        layouts = ANY_LAYOUTS + (*OTHER_LAYOUTS, OTHER_ANY_LAYOUTS) * small
    elif not context.implementation.adjacent_strided:
        return None
    for names in layouts:
        results = context.run_all(laid_out(context.inputs, names))
        failures = context.judge(results["output"]).failures
        found = "; ".join(failures) or wrong_beside_output(context, results)
        if found:
            found = f"query, key, value as {', '.join(names)}: {found}"
            return make_check("strided inputs", found)
    found = _wrong_if_shared(context) if small else ""
    return make_check("strided inputs", found)


def _wrong_if_shared(context: CertificateContext) -> str:
    """Return what is wrong if heads, sequences, tokens, or query, key and value share memory."""
    given, request = context.inputs, context.request
    head = {name: getattr(given, name) for name in ("key", "value")}
    sequence = {name: getattr(given, name) for name in ("query", "key", "value")}
    shared_by = []
    if request.kv_heads > 1:
        shared = {name: np.broadcast_to(x[:, :1], x.shape) for name, x in head.items()}
        shared_by.append(("one key head, expanded", replace(given, **shared)))
    if request.batch > 1:
        shared = {name: np.broadcast_to(x[:1], x.shape) for name, x in sequence.items()}
        if given.bias is not None:
            shared["bias"] = np.broadcast_to(given.bias[:1], given.bias.shape)
        shared_by.append(("one sequence, expanded", replace(given, **shared)))
    shared_by += _in_one_array(given)
    for what, inputs in shared_by:
        found = wrong_output(context, inputs, inputs)
        if found and inputs.query is given.query and inputs.key is given.key:
            # Values that are equal keys show how far the sum of weights is from 1.
            slack = 2 * context.alike_error[..., None]
            found = wrong_output(context, inputs, inputs, slack=slack)
        if found:
            return f"{what}: {found}"
    if request.query_len == 1:
        return ""
    query, mask = given.query, given.mask
    if mask is not None and request.mask != "causal":  # which is an option of some
        fullest = np.swapaxes(mask, -1, -2).reshape(-1, mask.shape[-2]).sum(axis=0).argmax()
        lengths = (request.query_len, request.key_len)
        mask = np.broadcast_to(mask[..., [fullest], :], (*mask.shape[:-2], *lengths))
    one = replace(given, query=np.broadcast_to(query[:, :, :1], query.shape), mask=mask)
    found = wrong_output(context, one, one, alike=True)
    return found and f"one query, expanded: {found}"


def _in_one_array(given: Inputs) -> list[tuple[str, Inputs]]:
    """Return, with its name, each way in which query, key and value may share an array."""
    parts = {name: getattr(given, name) for name in ("query", "key", "value")}
    if given.query.shape == given.key.shape == given.value.shape:
        one = replace(given, key=given.query)
        return [
            ("one array for query, key and value", replace(one, value=given.query)),
            ("one array for query and key", one),
            ("query, key and value packed", replace(given, **packed(parts))),
        ]
    ways = []
    if given.key.shape == given.value.shape:
        parts.pop("query")
        ways.append(("keys and values packed", replace(given, **packed(parts))))
    if (width := given.value.shape[-1]) <= given.key.shape[-1]:
        channels = replace(given, value=given.key[..., :width])
        ways.append(("values that are channels of keys", channels))
    return ways


def packed(arrays: dict[str, NDArray[np.floating]]) -> dict[str, Any]:
    """Return arrays of one shape, (B, H, N, D), as views of one that is (B, N, arrays, H, D)."""
    # Without copying, stack would keep the order of the arrays' axes.
    tokens = [np.ascontiguousarray(array.swapaxes(1, 2)) for array in arrays.values()]
    whole = np.stack(tokens, axis=2)
    return {name: whole[:, :, n].swapaxes(1, 2) for n, name in enumerate(arrays)}


def laid_out(inputs: Inputs, names: Layouts) -> Inputs:
    """Return the inputs as views of other arrays: query and bias, key, and value; and the mask."""
    query, key, value = (LAYOUTS[name] for name in names)
    return replace(
        inputs,
        query=query(inputs.query),
        key=key(inputs.key),
        value=value(inputs.value),
        bias=None if inputs.bias is None else query(inputs.bias[None])[0],
        mask=None if inputs.mask is None else _mask_beside(names[0], inputs.mask),
    )


def _mask_beside(name: str, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask as a part of a longer one, or beside queries by tokens, by columns."""
    return _by_columns(mask) if name == "tokens first" else _of_a_longer_mask(mask)


def is_small(context: CertificateContext) -> bool:
    """Return whether a case is one of those in which more calls are made."""
    return work_of(context.case.request) <= SMALL


def _with_other_signs(inputs: Inputs) -> Inputs:
    return replace(inputs, query=-inputs.query, key=-inputs.key, value=-inputs.value)


def _write(storage: Inputs, values: Inputs) -> None:
    for field in fields(storage):
        array = getattr(storage, field.name)
        if array is not None and field.name != "mask":
            array[...] = getattr(values, field.name)


def heads_last(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array, (B, H, N, D), as a view of one that is stored as (B, N, H, D)."""
    return np.ascontiguousarray(array.swapaxes(1, 2)).swapaxes(1, 2)


def _in_a_cache(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array as a view of the middle tokens of a longer one, with nan around them.

    It begins one element into its memory, at an address that is no multiple of 16 bytes.
    """
    tokens = array.shape[2]
    shape = (*array.shape[:2], tokens + 5, array.shape[3])
    long = np.full(1 + math.prod(shape), np.nan, array.dtype)[1:].reshape(shape)
    long[:, :, 2 : tokens + 2] = array
    return long[:, :, 2 : tokens + 2]


def _of_wider_rows(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array as a view of the first channels of a wider one, with nan in the others."""
    wide = np.full((*array.shape[:-1], array.shape[-1] + 3), np.nan, array.dtype)
    wide[..., :-3] = array
    return wide[..., :-3]


def _tokens_first(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array, (B, H, N, D), as a view of one that is stored as (N, B, H, D)."""
    return np.ascontiguousarray(np.moveaxis(array, 2, 0)).transpose(1, 2, 0, 3)


def _heads_first(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array, (B, H, N, D), as a view of one that is stored as (H, B, N, D)."""
    return np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1)


def _by_columns(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, (..., N, D), as a view of one that is stored as (..., D, N)."""
    return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)


def _after_one_element(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array, contiguous, at an address that is no multiple of 16 bytes."""
    memory = np.full(1 + array.size, np.nan, array.dtype)[1:].reshape(array.shape)
    memory[...] = array
    return memory


def _of_a_longer_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask as a view of one of more queries and keys, with the opposite around it."""
    long = np.full((*mask.shape[:-2], mask.shape[-2] + 3, mask.shape[-1] + 5), not mask.flat[0])
    long[..., : mask.shape[-2], 1:-4] = mask
    return long[..., : mask.shape[-2], 1:-4]


def _every_second(array: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the array as a view of every second channel of one with nan in between."""
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    wide[..., ::2] = array
    return wide[..., ::2]


LAYOUTS: Final[dict[str, Callable[[NDArray[np.floating]], NDArray[np.floating]]]] = {
    "heads last": heads_last,
    "a slice of a cache": _in_a_cache,
    "every second channel": _every_second,
    "the last axis first": np.asfortranarray,
    "first channels of wider rows": _of_wider_rows,
    "tokens first": _tokens_first,
    "heads first": _heads_first,
    "after one element": _after_one_element,
    "channels before tokens": _by_columns,
}
ADJACENT_LAYOUTS: Final = (
    ("heads last", "a slice of a cache", "heads last"),
    ("a slice of a cache", "heads last", "a slice of a cache"),
)
ANY_LAYOUTS: Final = (
    ("heads last", "every second channel", "a slice of a cache"),
    ("every second channel", "a slice of a cache", "heads last"),
    ("a slice of a cache", "heads last", "every second channel"),
    ("the last axis first", "the last axis first", "the last axis first"),
)
# Of small cases.
OTHER_LAYOUTS: Final = (
    ("first channels of wider rows", "tokens first", "heads first"),
    ("tokens first", "heads first", "after one element"),
    ("heads first", "after one element", "first channels of wider rows"),
    ("after one element", "first channels of wider rows", "tokens first"),
)
OTHER_ANY_LAYOUTS: Final = (*("channels before tokens",) * 3,)
