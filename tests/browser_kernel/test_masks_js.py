"""masks.js makes every mask that make_mask makes, from the rows that Python hands a page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnpanel.attention.mask_rules import evaluate, parse
from attnpanel.attention.mask_table import MASKS, masks_for_page
from attnpanel.attention.masks import make_mask
from tests.browser_kernel.conftest import KernelError, node_running
from tests.mask_values import mask_values

laws = settings(max_examples=100, deadline=None)
lengths = st.integers(1, 9)
TABLE = json.loads(json.dumps(masks_for_page()))
KINDS = {row["kind"]: row for row in TABLE["kinds"]}


@pytest.fixture(scope="module")
def kernel(root):
    with node_running(root / "js" / "core" / "masks.js") as kernel:
        yield kernel


def test_a_causal_mask_by_hand(kernel):
    top_left = kernel("makeMask", KINDS["causal"], 2, 3)
    bottom_right = kernel("makeMask", KINDS["causal"], 2, 3, {"align": "bottom_right"})

    np.testing.assert_array_equal(top_left, [1, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(bottom_right, [1, 1, 0, 1, 1, 1])


@laws
@given(st.sampled_from(MASKS), lengths, lengths, st.data())
def test_every_mask_is_that_of_make_mask(kernel, row, query_len, key_len, data):
    values = data.draw(mask_values(row, query_len, key_len))
    align = data.draw(st.sampled_from(["top_left", "bottom_right"]))

    options = {"values": json.loads(json.dumps(values)), "align": align}
    made = kernel("makeMask", KINDS[row.kind], query_len, key_len, options)

    expected = make_mask(row.kind, query_len, key_len, align=align, **values)
    np.testing.assert_array_equal(made.reshape(query_len, key_len), expected)


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    "rule",
    [
        "a + 2 * b - 1", "a // 3", "a % 3", "-a // 2", "-a % 3", "a if a < b else -b",
        "min(a, b) - max(a, 3)", "abs(a - b)", "1 if a <= b and b > 2 else 0",
        "1 if a == b or not a >= 2 else 0", "5 if a != b else 6",
        "last_up_to(p, a, 0)", "first_after(p, a, 9)", "last_up_to([a, 4, a, b], 5, -1)",
    ],
)  # fmt: skip
@laws
@given(a=st.integers(-5, 9), b=st.integers(-5, 9))
def test_every_operation_of_a_rule_is_pythons(kernel, rule, a, b):
    made = kernel("evaluateRule", parse(rule), {"a": a, "b": b, "p": [2, 5]})

    assert made == evaluate(parse(rule), {"a": a, "b": b, "p": (2, 5)})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("findMask", TABLE, "causel"), "kind must be one of none, padding, .* got causel"),
        (
            ("makeMask", KINDS["causal"], 2, 2, {"align": "left"}),
            "align must be top_left .* got left",
        ),
        (("makeMask", KINDS["causal"], 0, 2), "T must be an integer at least 1; got 0"),
        (("makeMask", KINDS["causal"], 2, 1.5), "S must be an integer at least 1; got 1.5"),
        (("makeMask", KINDS["key_padding"], 2, 3), "key_padding needs pad_len; got none"),
        (("evaluateRule", ["eval", 1], {}), "a mask rule has no operation eval"),
        (("evaluateRule", ["constructor"], {}), "a mask rule has no operation constructor"),
    ],
)
def test_what_does_not_fit_is_refused_with_rule_and_value(kernel, call, message):
    with pytest.raises(KernelError, match=f"^RangeError: {message}"):
        kernel(*call)
