"""Plain 16-bit attention rounds what it stores, and no more."""

import numpy as np
import pytest

from attnpanel.kernels.request import Inputs, Request
from bench.plain import PLACES, plain_attention

# One query, two keys with products 16 · 16 + 1 = 257 and 256; bfloat16 has no 257.
QUERY = np.array([[[[16.0, 1.0]]]], np.float32)
KEY = np.array([[[[16.0, 1.0], [16.0, 0.0]]]], np.float32)
VALUE = np.array([[[[8.0], [0.0]]]], np.float32)
INPUTS = Inputs(QUERY, KEY, VALUE, None, None)


@pytest.mark.parametrize("place", PLACES)
def test_scores_that_round_to_the_same_share_the_weight(place):
    request = Request(1, 1, 1, 1, 2, 2, 1, dtype="bfloat16", scale=1.0)

    output = plain_attention(request, INPUTS, place)

    np.testing.assert_array_equal(output, [[[[4.0]]]])


@pytest.mark.parametrize("place", PLACES)
def test_what_the_type_can_hold_is_not_rounded_further(place):
    request = Request(1, 1, 1, 1, 2, 2, 1, dtype="float16", scale=1.0)

    output = plain_attention(request, INPUTS, place)

    # Weights e and 1; the nearest float16 has 11 bits.
    np.testing.assert_allclose(output.item(), 8 * np.e / (np.e + 1), rtol=2.0**-10)


@pytest.mark.parametrize("place", PLACES)
def test_a_negative_scale_turns_the_order_round(place):
    request = Request(1, 1, 1, 1, 2, 2, 1, dtype="float16", scale=-1.0)

    output = plain_attention(request, INPUTS, place)

    np.testing.assert_allclose(output.item(), 8 / (np.e + 1), rtol=2.0**-10)


def test_temperature_bias_and_mask_are_the_requests():
    request = Request(1, 1, 1, 1, 2, 2, 1, "float16", bias=True, temperature=2.0, scale=1.0)
    bias = np.array([[[1.0, 0.0]]], np.float16)

    both = plain_attention(request, Inputs(QUERY, KEY, VALUE, None, bias), "scores")
    one = plain_attention(
        request, Inputs(QUERY, KEY, VALUE, np.array([[True, False]]), bias), "scores"
    )

    # (257 + 1) / 2 against 256 / 2: again one apart.
    np.testing.assert_allclose(both.item(), 8 * np.e / (np.e + 1), rtol=2.0**-10)
    assert one.item() == 8
