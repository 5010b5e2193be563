"""Means over heads, pools and overview tiles in JavaScript are those of Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attnpanel.attention.masks import make_mask
from attnpanel.explorer.selection import overview_tile, pool, select
from attnpanel.trace.call import AttentionCall
from tests.browser_kernel.heads import (
    EMPTY_ROWS,
    laws,
    lengths,
    normal,
)


def gqa_call(**options):
    """Six query heads that read three key heads, on 11 queries and 13 keys."""
    arrays = {"query": (1, 6, 11, 5), "key": (1, 3, 13, 5), "value": (1, 3, 13, 7)}
    made = {name: normal(*shape, seed=len(name)) for name, shape in arrays.items()}
    return AttentionCall("layer", 0, **made, **options)


@pytest.mark.parametrize("empty_rows", EMPTY_ROWS)
def test_the_mean_over_heads_is_that_of_select(kernel, empty_rows):
    mask = np.random.default_rng(3).random((1, 6, 11, 13)) < 0.4
    mask[:, :, 4] = False
    call = gqa_call(mask=mask)
    expected = select(call, None, 0, mask=None, temperature=0.7, empty_rows=empty_rows)
    of = {"T": 11, "S": 13, "D": 5, "Dv": 7}
    options = {**of, "temperature": 0.7, "emptyRows": empty_rows}
    heads_of = [
        kernel(
            "attend",
            call.query[0, head],
            call.key[0, head // 2],
            call.value[0, head // 2],
            {**options, "visible": mask[0, head]},
        )
        for head in range(6)
    ]

    for name in ("scores", "weights", "output"):
        mean = kernel("meanOf", [head[name] for head in heads_of])
        step = getattr(expected, name)
        np.testing.assert_allclose(mean.reshape(step.shape), step, rtol=0, atol=2e-6)
    visible = mask[0, 0]
    for head in range(1, 6):
        visible = kernel("addInto", visible, mask[0, head], changes=True)
    np.testing.assert_array_equal(visible.reshape(11, 13), expected.visible)
    np.testing.assert_array_equal(
        kernel("blindQueries", visible, {"T": 11, "S": 13}), expected.empty
    )


def test_a_mean_of_the_same_parts_is_the_same_number(kernel):
    call = gqa_call()
    parts = [call.weights(head) for head in range(6)]

    mean = kernel("meanOf", parts)
    total = parts[0]
    for part in parts[1:]:
        total = kernel("addInto", total, part, changes=True)

    expected = select(call, None, 0, mask=None, temperature=1, empty_rows="zero").weights.ravel()
    np.testing.assert_array_equal(mean, expected, strict=True)
    np.testing.assert_array_equal(kernel("divideBy", total, 6, changes=True), expected, strict=True)


def test_adding_masks_shows_what_either_shows(kernel):
    either = kernel(
        "addInto", np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool), changes=True
    )

    np.testing.assert_array_equal(either, [0, 1, 1, 1])


# -- pictures --------------------------------------------------------------------------------


def pooled(kernel, *args):
    result = kernel("pool", *args)
    return result["values"].reshape(result["rows"], result["columns"])


def test_a_block_shows_its_largest_value_and_nan_only_where_all_are_nan(kernel):
    nan = np.nan
    matrix = np.array([[1, nan, nan, nan, -2], [3, 2, nan, nan, -np.inf], [nan, 7, 0, nan, nan]])

    small = pooled(kernel, matrix, 3, 5, 2, 3)

    np.testing.assert_array_equal(small, [[3, nan, -2], [7, 0, nan]])


def test_what_lies_outside_the_part_is_not_looked_at(kernel):
    matrix = np.arange(20.0).reshape(4, 5)

    # Rows 1 and 2, columns 1 to 3, in blocks of 2 by 2: the last block is one column wide.
    small = pooled(kernel, matrix, 4, 5, 1, 2, {"top": 1, "left": 1, "height": 2, "width": 3})

    np.testing.assert_array_equal(small, [[12, 13]])


@laws
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.floats(-3, 3, width=32) | st.sampled_from([np.nan, -np.inf]),
    ),
    lengths,
    lengths,
    st.data(),
)
def test_pool_is_that_of_selection_for_any_part_and_mask(kernel, matrix, rows, columns, data):
    top, left = (data.draw(st.integers(0, length - 1)) for length in matrix.shape)
    height = data.draw(st.integers(1, matrix.shape[0] - top))
    width = data.draw(st.integers(1, matrix.shape[1] - left))
    visible = data.draw(st.none() | hnp.arrays(bool, matrix.shape))
    whole_rows = data.draw(st.none() | hnp.arrays(bool, matrix.shape[0]))
    part = {"top": top, "left": left, "height": height, "width": width}

    small = pooled(
        kernel,
        matrix,
        *matrix.shape,
        rows,
        columns,
        {**part, "visible": visible, "wholeRows": whole_rows},
    )

    shown = np.ones(matrix.shape, bool) if visible is None else visible
    if whole_rows is not None:
        shown = shown | whole_rows[:, None]
    cut = np.where(shown, matrix, np.nan)[top : top + height, left : left + width]
    np.testing.assert_array_equal(small, pool(cut.astype(matrix.dtype), rows, columns), strict=True)


def test_the_overview_reads_the_queries_that_python_reads(kernel):
    for query_len in [*range(1, 400), 512, 1000, 1024, 2048, 4097]:
        expected = np.unique(np.linspace(0, query_len - 1, 96).round().astype(int))
        np.testing.assert_array_equal(kernel("overviewRows", query_len), expected)


@pytest.mark.parametrize("shared_bias", [True, False])
@pytest.mark.parametrize(("query_len", "key_len"), [(1, 1), (23, 24), (97, 50), (201, 131)])
def test_an_overview_tile_is_that_of_selection(kernel, query_len, key_len, shared_bias):
    bias = normal(1 if shared_bias else query_len, key_len, seed=3)
    bias[:, ::3] = -np.inf
    mask = make_mask("padding", query_len, key_len, pad_len=min(query_len, key_len) - 1)
    call = AttentionCall(
        "layer",
        0,
        query=normal(1, 1, query_len, 7, seed=1),
        key=normal(1, 1, key_len, 7, seed=2),
        bias=bias,
        scale=0.3,  # not the 1 / sqrt(7) it would be if it were left out
        soft_cap=2.0,
        sinks=np.array([1.5], dtype=np.float32),
    )
    options = {"T": query_len, "S": key_len, "D": 7, "bias": bias, "visible": mask}

    small = kernel(
        "overviewTile",
        call.query,
        call.key,
        {**options, "scale": call.scale, "softCap": 2, "sink": 1.5, "temperature": 0.3},
    )

    expected = overview_tile(call, 0, 0, mask=mask, temperature=0.3, empty_rows="zero")
    # Scores reach 10 in float32, and a temperature of 0.3 triples what they are rounded by.
    np.testing.assert_allclose(
        small["values"].reshape(small["rows"], small["columns"]), expected, rtol=0, atol=4e-6
    )


def test_a_nan_row_is_dark_in_an_overview_tile(kernel):
    blind = {"T": 1, "S": 1, "D": 1, "visible": np.zeros(1, bool), "emptyRows": "nan"}

    assert kernel("overviewTile", np.ones(1), np.ones(1), blind)["values"].tolist() == [0]


def test_an_overview_tile_of_recorded_weights_is_that_of_selection(kernel):
    weights = np.abs(normal(1, 1, 201, 131))
    weights[0, 0, 5] = np.nan
    call = AttentionCall("layer", 0, recorded_weights=weights)

    small = kernel("overviewTileOfWeights", weights, {"T": 201, "S": 131})

    expected = overview_tile(call, 0, 0, mask=None, temperature=1, empty_rows="zero")
    np.testing.assert_array_equal(small["values"].reshape(expected.shape), expected)
