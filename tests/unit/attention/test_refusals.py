"""What the reference refuses, with rule and value."""

import numpy as np
import pytest

from attnpanel.attention.reference import attend, softmax
from tests.unit.attention.arrays import DV, B, D, H, S, T

QUERY, KEY, VALUE = np.ones((B, H, T, D)), np.ones((B, H, S, D)), np.ones((B, H, S, DV))


def spoiled(array, number):
    array = array.copy()
    array[1, 2, 3, 4] = number
    return array


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            (np.ones((1, 1, 2, 4)), np.ones((1, 1, 3, 5)), None),
            {},
            "query and key must agree in their leading axes and in D; "
            "got query (1, 1, 2, 4), key (1, 1, 3, 5)",
        ),
        (
            (QUERY, KEY[0], None),
            {},
            "query and key must agree in their leading axes and in D; "
            "got query (2, 3, 5, 11), key (3, 7, 11)",
        ),
        (
            (QUERY, KEY[:1], VALUE[:1]),
            {},
            "query and key must agree in their leading axes and in D; "
            "got query (2, 3, 5, 11), key (1, 3, 7, 11), value (1, 3, 7, 13)",
        ),
        (
            (QUERY, KEY, VALUE[:, :, :6]),
            {},
            "key and value must agree in all axes but the last; "
            "got query (2, 3, 5, 11), key (2, 3, 7, 11), value (2, 3, 6, 13)",
        ),
        (
            (QUERY, KEY[:, :2], VALUE[:, :2]),
            {},
            "query heads must be a multiple of key heads; "
            "got query (2, 3, 5, 11), key (2, 2, 7, 11), value (2, 2, 7, 13)",
        ),
        (
            (np.ones(3), np.ones((2, 3)), None),
            {},
            "query, key and value must be (…, T, D) with no empty axis; got query (3,), key (2, 3)",
        ),
        (
            (np.ones((2, 3)), np.ones((0, 3)), None),
            {},
            "query, key and value must be (…, T, D) with no empty axis; "
            "got query (2, 3), key (0, 3)",
        ),
        (
            (spoiled(QUERY, np.nan), KEY, VALUE),
            {},
            "query must be finite; got nan at index (1, 2, 3, 4)",
        ),
        (
            (QUERY, spoiled(KEY, np.inf), VALUE),
            {},
            "key must be finite; got inf at index (1, 2, 3, 4)",
        ),
        (
            (QUERY, KEY, spoiled(VALUE, -np.inf)),
            {},
            "value must be finite; got -inf at index (1, 2, 3, 4)",
        ),
        (
            (QUERY, KEY.astype(complex), None),
            {},
            "key must hold real numbers; got dtype complex128",
        ),
        (
            (np.full((1, 1), 1e30, "f4"), np.full((1, 1), 1e30, "f4"), None),
            {},
            "scale * query @ key.T must stay within float32; got a score that is not finite "
            "from |query| <= 1e+30, |key| <= 1e+30, scale 1",
        ),
        (
            (QUERY, KEY, None),
            {"mask": np.ones((T, S), int)},
            "mask must be boolean, True where a query may attend; got int64",
        ),
        (
            (QUERY, KEY, None),
            {"mask": np.ones((S, T), bool)},
            "mask must broadcast to (…, T, S) = (2, 3, 5, 7); got shape (7, 5)",
        ),
        (
            (QUERY, KEY, None),
            {"mask": np.ones((1, B, H, T, S), bool)},
            "mask must broadcast to (…, T, S) = (2, 3, 5, 7); got shape (1, 2, 3, 5, 7)",
        ),
        (
            (QUERY, KEY, None),
            {"bias": np.ones((S, T))},
            "bias must broadcast to (…, T, S) = (2, 3, 5, 7); got shape (7, 5)",
        ),
        (
            (QUERY, KEY, None),
            {"bias": np.ones((T, S), bool)},
            "bias must hold real numbers; got dtype bool",
        ),
        (
            (QUERY, KEY, None),
            {"bias": np.full((T, S), np.inf)},
            "bias must be finite or -inf; got inf at index (0, 0, 0, 0)",
        ),
        (
            (np.full((1, 1), 1e154), np.full((1, 1), 1e154), None),
            {"bias": np.full((1, 1), 1.79e308)},
            "scores plus bias must be finite or -inf; got inf at index (0, 0)",
        ),
        ((QUERY, KEY, None), {"scale": np.nan}, "scale must be finite; got nan"),
        (
            (QUERY, KEY, None),
            {"temperature": 0},
            "temperature must be positive and finite in float64; got 0",
        ),
        (
            (QUERY, KEY, None),
            {"temperature": -1.5},
            "temperature must be positive and finite in float64; got -1.5",
        ),
        (
            (QUERY, KEY, None),
            {"temperature": np.nan},
            "temperature must be positive and finite in float64; got nan",
        ),
        (
            (QUERY, KEY, None),
            {"temperature": np.inf},
            "temperature must be positive and finite in float64; got inf",
        ),
        (
            (QUERY.astype("f4"), KEY.astype("f4"), None),
            {"temperature": 1e-60},
            "temperature must be positive and finite in float32; got 1e-60",
        ),
        (
            (QUERY, KEY, None),
            {"empty_rows": "skip"},
            "empty_rows must be 'zero', 'uniform' or 'nan'; got 'skip'",
        ),
    ],
)
def test_attend_refuses_with_the_rule_and_the_values(arrays, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        attend(*arrays, **options)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([0.0, np.nan], {}, "x must be finite or -inf; got nan at index (1,)"),
        ([np.inf, 0.0], {}, "x must be finite or -inf; got inf at index (0,)"),
        ([[], []], {}, "x must have at least one entry along axis; got shape (2, 0), axis -1"),
        ([1.0], {"axis": 1}, "x must have at least one entry along axis; got shape (1,), axis 1"),
        (3.0, {}, "x must have at least one entry along axis; got shape (), axis -1"),
        (["a"], {}, "x must hold real numbers; got dtype <U1"),
        (
            [1.0],
            {"temperature": 0.0},
            "temperature must be positive and finite in float64; got 0.0",
        ),
    ],
)
def test_softmax_refuses_with_the_rule_and_the_values(x, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        softmax(x, **options)

    assert str(caught.value) == message
