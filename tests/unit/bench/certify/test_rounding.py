"""Rounding to a dtype, compared with PyTorch's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.bench.certify.rounding import SMALLEST, UNIT_ROUNDOFF, round_to


@settings(deadline=None)  # the first call imports torch
@given(st.floats(-(2.0**127), 2.0**127, width=32))
def test_bfloat16_is_rounded_as_torch_rounds_it(number):
    import torch

    ours = round_to(np.array([number], np.float32), "bfloat16")

    np.testing.assert_array_equal(ours, torch.tensor([number]).bfloat16().float().numpy())


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_the_unit_roundoff_is_the_largest_that_rounds_away_beside_one(dtype):
    unit = UNIT_ROUNDOFF[dtype]
    numbers = np.array([1 + unit, 1 + 2 * unit], np.longdouble)

    # Half a step goes to the even neighbour, 1; a whole step stays. float64 is all longdouble
    # need hold here, and bfloat16 starts from float32.
    np.testing.assert_array_equal(round_to(numbers, dtype), [1, 1 + 2 * unit])


@pytest.mark.parametrize("dtype", SMALLEST)
def test_the_smallest_weight_is_a_number_of_its_dtype(dtype):
    number = np.array([SMALLEST[dtype]])

    np.testing.assert_array_equal(round_to(number, dtype), number)
