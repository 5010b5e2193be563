import doctest
import subprocess
import sys

import numpy as np
import pytest

from attnpanel.attention.masks import make_mask
from attnpanel.attention.reference import attend
from attnpanel.kernels.torch_ import eager as torch_eager
from attnpanel.kernels.torch_.eager import merge_heads, scaled_dot_product_attention, split_heads

torch = pytest.importorskip("torch")

# Distinct primes, so that a swapped axis cannot hide.
B, H, T, S, D, DV = 2, 3, 5, 7, 11, 13


def draws(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(torch_eager)

    assert results.attempted > 0
    assert results.failed == 0


def test_importing_the_kernel_loads_neither_torch_nor_another_kernel():
    # The package itself loads the reference; the kernel's own file must not.
    code = "import sys, attnpanel.kernels.torch_.eager; sys.exit('torch' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True)
    assert not hasattr(torch_eager, "attend")


def test_the_notebooks_first_cell_gives_four_by_four_weights():
    query, key, value = draws((4, 3), (4, 3), (4, 3))

    output, weights = scaled_dot_product_attention(query, key, value)

    assert weights.shape == (4, 4)
    assert output.shape == (4, 3)


def test_the_notebooks_multi_head_cell_gives_weights_for_each_batch_and_head():
    # Batch 2, two heads, five tokens, four channels a head.
    query, key, value = (split_heads(x, heads=2) for x in draws((2, 5, 8), (2, 5, 8), (2, 5, 8)))
    assert query.shape == (2, 2, 5, 4)

    output, weights = scaled_dot_product_attention(query, key, value)

    assert weights.shape == (2, 2, 5, 5)
    assert merge_heads(output).shape == (2, 5, 8)


def test_two_keys_share_weight_as_the_scores_say():
    # q.k / sqrt(4) is 0 and ln 3, so the weights are 1/4 and 3/4 and the mix is 2 + 3.
    query = torch.full((1, 4), 0.5, dtype=torch.float64)
    key = torch.tensor([[0.0] * 4, [float(np.log(3))] * 4], dtype=torch.float64)
    value = torch.tensor([[8.0], [4.0]], dtype=torch.float64)

    output, weights = scaled_dot_product_attention(query, key, value)

    np.testing.assert_allclose(weights, [[0.25, 0.75]], rtol=1e-15)
    np.testing.assert_allclose(output, [[5.0]], rtol=1e-15)


@pytest.mark.parametrize("masked", [False, True])
def test_output_and_weights_agree_with_the_reference(masked):
    query, key, value = draws((B, H, T, D), (B, H, S, D), (B, H, S, DV))
    mask = make_mask("causal", T, S) if masked else None

    output, weights = scaled_dot_product_attention(
        query, key, value, None if mask is None else torch.from_numpy(mask)
    )

    expected = attend(query.numpy(), key.numpy(), value.numpy(), mask=mask)
    # float64 on both sides, summed in different orders.
    np.testing.assert_allclose(weights, expected.weights, rtol=0, atol=1e-14)
    np.testing.assert_allclose(output, expected.output, rtol=0, atol=1e-13)


def test_a_query_that_sees_no_key_gets_nan_as_in_the_notebook():
    query, key, value = draws((2, 3), (2, 3), (2, 3))
    mask = torch.tensor([[True, False], [False, False]])

    output, weights = scaled_dot_product_attention(query, key, value, mask)

    np.testing.assert_array_equal(weights, [[1, 0], [np.nan, np.nan]])
    np.testing.assert_array_equal(output[0], value[0])
    np.testing.assert_array_equal(output[1], [np.nan] * 3)


def test_a_head_holds_consecutive_channels():
    x = torch.arange(B * T * H * D).reshape(B, T, H * D)

    heads = split_heads(x, H)

    assert heads.shape == (B, H, T, D)
    for head in range(H):
        np.testing.assert_array_equal(heads[:, head], x[..., head * D : (head + 1) * D])


def test_merging_undoes_splitting():
    x = torch.arange(B * T * H * D).reshape(B, T, H * D)

    np.testing.assert_array_equal(merge_heads(split_heads(x, H)), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: scaled_dot_product_attention(*draws((4, 3), (4, 2), (4, 3))),
            "Q and K must agree in D, and K and V in S; got Q (4, 3), K (4, 2), V (4, 3)",
        ),
        (
            lambda: scaled_dot_product_attention(*draws((4, 3), (5, 3), (4, 3))),
            "Q and K must agree in D, and K and V in S; got Q (4, 3), K (5, 3), V (4, 3)",
        ),
        (
            lambda: scaled_dot_product_attention(*draws((2, 4, 3), (3, 4, 3), (3, 4, 3))),
            "Q, K and V must agree in their leading axes; "
            "got Q (2, 4, 3), K (3, 4, 3), V (3, 4, 3)",
        ),
        (
            lambda: scaled_dot_product_attention(*draws((3,), (4, 3), (4, 3))),
            "Q, K and V must have at least two axes, (…, T, D); got Q (3,), K (4, 3), V (4, 3)",
        ),
        (
            lambda: scaled_dot_product_attention(*draws((4, 3), (5, 3), (5, 3)), torch.ones(4, 5)),
            "mask must be boolean, True where a query may attend; got shape (4, 5), torch.float32",
        ),
        (
            lambda: scaled_dot_product_attention(
                *draws((4, 3), (5, 3), (5, 3)), torch.ones(5, 4, dtype=torch.bool)
            ),
            "mask must broadcast to (…, T, S) = (4, 5); got shape (5, 4), torch.bool",
        ),
        (
            lambda: split_heads(torch.ones(5, 7), 3),
            "the last axis of a (…, T, d_model) tensor must be a multiple of heads >= 1; "
            "got shape (5, 7) and heads 3",
        ),
        (
            lambda: merge_heads(torch.ones(5, 7)),
            "heads are merged from (…, heads, T, D); got shape (5, 7)",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused_with_the_rule_and_the_values(call, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        call()

    assert str(caught.value) == message
