"""Wrong attentions of inputs that share memory, and of strides of tensors.

As in :mod:`tests.unit.bench.certify.planted_defects`, each with the cases that could find it.
"""

import math

import numpy as np

from attnpanel.bench.certify.checks_mask import work_of
from attnpanel.bench.certify.checks_state import SMALL
from attnpanel.kernels import find_implementation
from attnpanel.kernels.arrays import owner_of
from attnpanel.kernels.torch_.inputs import torch_inputs
from tests.unit.bench.certify.planted_defects import is_small, planted
from tests.unit.bench.certify.planted_varied_defects import misread


def misread_if_packed(names):
    """Defect: values are taken for others where such inputs are parts of one array."""

    def change(inputs, _request, base):
        owners = {id(owner_of(getattr(inputs, name))) for name in names}
        packed = len(owners) == 1 and inputs.value.ctypes.data != inputs.key.ctypes.data
        return base(value=np.roll(inputs.value, 1, axis=-1)) if packed else base()

    square = "query" in names
    return (
        planted(change),
        lambda r: (
            is_small(r)
            and 1 < r.head_dim == r.value_dim
            and square == (r.query_len == r.key_len and r.heads == r.kv_heads)
        ),
    )


def misread_if_one(first, second, when):
    """Defect: values are taken for others where two inputs begin at one address, a third not."""
    (third,) = {"query", "key", "value"} - {first, second}

    def change(inputs, _request, base):
        at = {name: getattr(inputs, name).ctypes.data for name in (first, second, third)}
        same = at[first] == at[second] != at[third]
        return base(value=np.roll(inputs.value, 1, axis=-1)) if same else base()

    return planted(change), lambda r: work_of(r) <= SMALL and r.value_dim > 1 and when(r)


def has_expanded_rows(array):
    return array is not None and array.shape[-2] > 1 and array.strides[-2] == 0


SHARED = {
    "packed query, key and value misread": misread_if_packed(("query", "key", "value")),
    "packed key and value misread": misread_if_packed(("key", "value")),
    "a query that is the key misread": misread_if_one(
        "query", "key", lambda r: r.query_len == r.key_len and r.heads == r.kv_heads
    ),
    "values that are keys misread": misread_if_one(
        "key", "value", lambda r: r.query_len != r.key_len and r.head_dim == r.value_dim
    ),
    "values in the memory of wider keys misread": misread_if_one(
        "key", "value", lambda r: r.head_dim > r.value_dim
    ),
    "queries expanded over tokens misread": misread("query", has_expanded_rows),
    "mask expanded over queries misread": (
        misread("mask", has_expanded_rows)[0],
        lambda r: is_small(r) and r.mask == "key_padding",
    ),
}


def of_tensors(test, change, dtype):
    """Defect: `change(tensor, name)` of tensors where `test(tensors)`."""

    def prepare(inputs, request, base):
        if request.dtype != dtype:
            return base()
        tensors = torch_inputs(inputs, request)
        arrays = {name: getattr(tensors, name) for name in ("query", "key", "value")}
        if not test(arrays):
            return base()
        return base(**{name: change(tensor, name) for name, tensor in arrays.items()})

    def small(request):
        return (
            (request.query_len, request.key_len) <= (7, 7)
            and request.dtype == dtype
            and request.heads > 1
            and request.query_len == request.key_len
            and request.head_dim == request.value_dim
        )

    return planted(prepare, find_implementation("torch-sdpa-math")), small


def read_without_strides(name):
    """Read the memory from a tensor's beginning on as if it were contiguous, if it is as long."""

    def change(tensor, of):
        there = tensor.untyped_storage().nbytes() // tensor.element_size()
        if of != name or tensor.storage_offset() + tensor.numel() > there:
            return tensor
        strides = [math.prod(tensor.shape[axis + 1 :]) for axis in range(4)]
        return tensor.as_strided(tensor.shape, strides, tensor.storage_offset())

    return change


def in_one_storage(tensors):
    return len({x.untyped_storage().data_ptr() for x in tensors.values()}) == 1


TENSORS = {
    **{
        f"strides of {dtype} {name} tensors ignored": of_tensors(
            lambda _: True, read_without_strides(name), dtype
        )
        for name, dtype in (("query", "float32"), ("key", "float16"), ("value", "bfloat16"))
    },
    "packed tensors misread": of_tensors(
        lambda x: in_one_storage(x) and x["key"].data_ptr() != x["query"].data_ptr(),
        lambda tensor, name: tensor.roll(1, -1) if name == "value" else tensor,
        "bfloat16",
    ),
}


def many_axes(request):
    sizes = (request.batch, request.heads, request.kv_heads, request.head_dim, request.value_dim)
    return is_small(request) and min(sizes) > 1


ORDERS = {
    "in first channels of wider rows": lambda x: (
        x.strides[2] > x.shape[3] * x.itemsize and x.strides[1] == x.shape[2] * x.strides[2]
    ),
    "tokens first": lambda x: (
        x.strides == (math.prod(x.shape[1::2]) * x.itemsize, x.shape[3] * x.itemsize,
                      math.prod(x.shape) // x.shape[2] * x.itemsize, x.itemsize)
    ),
    "heads first": lambda x: x.strides[1] > x.strides[0] > x.strides[2] > x.strides[3] > 0,
    "of channels before tokens": lambda x: (
        x.strides[2:] == (x.itemsize, x.shape[2] * x.itemsize)
    ),
    "contiguous but not aligned": lambda x: x.flags.c_contiguous and x.ctypes.data % 16 > 0,
}  # fmt: skip
AXES = {
    **{
        f"{name} {order} misread": (misread(name, test)[0], many_axes)
        for name in ("query", "key", "value")
        for order, test in ORDERS.items()
    },
    "mask of columns misread": (
        misread("mask", lambda x: x is not None and x.strides[-1] > x.strides[-2] > 0)[0],
        lambda r: is_small(r) and r.mask == "window" and r.query_len > 1,
    ),
}

LAYOUTS = {**SHARED, **TENSORS, **AXES}
