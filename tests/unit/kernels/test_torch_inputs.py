"""Tensors have the layout of the arrays that they are copies of."""

import numpy as np
import pytest

from attnpanel.bench.certify.checks_state import LAYOUTS
from attnpanel.kernels.request import Inputs, Request
from attnpanel.kernels.torch_.inputs import tensor_of, torch_inputs

torch = pytest.importorskip("torch")

CPU = torch.device("cpu")
ARRAY = np.arange(2 * 3 * 5 * 7, dtype=np.float32).reshape(2, 3, 5, 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_has_values_strides_and_offset_of_its_array(layout, dtype):
    array = LAYOUTS[layout](ARRAY)

    tensor = tensor_of(array, dtype, CPU)

    np.testing.assert_array_equal(tensor.float().numpy(), ARRAY)  # up to 209: exact in bfloat16
    assert tensor.stride() == tuple(stride // 4 for stride in array.strides)
    begin = array.ctypes.data - (array if array.base is None else array.base).ctypes.data
    assert tensor.storage_offset() * 4 == begin


@pytest.mark.parametrize(
    "array",
    [np.broadcast_to(ARRAY[:, :1], ARRAY.shape), ARRAY[:, ::-1], ARRAY[:0], ARRAY[..., 1:3]],
    ids=["expanded", "negative strides", "empty", "a slice"],
)
def test_any_view_has_its_values(array):
    np.testing.assert_array_equal(tensor_of(array, torch.float32, CPU).numpy(), array)


def test_parts_of_one_array_become_parts_of_one_tensor():
    whole = np.stack([ARRAY, ARRAY + 1, ARRAY + 2])

    tensors = torch_inputs(
        Inputs(*whole, mask=None, bias=None), Request(2, 3, 3, 5, 5, 7, 7, "bfloat16")
    )

    parts = (tensors.query, tensors.key, tensors.value)
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1
    assert [part.storage_offset() for part in parts] == [0, ARRAY.size, 2 * ARRAY.size]
    for part, array in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part.float().numpy(), array)
