"""What every NumPy kernel must do; see test_formula.py for the numbers all kernels agree on."""

import doctest
import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from attnpanel.attention.masks import make_mask
from attnpanel.kernels import blocking as query_blocks
from attnpanel.kernels.numpy_ import row_blocked as numpy_row_blocked
from attnpanel.kernels.numpy_.int8_scores import INT8_SCORES
from attnpanel.kernels.numpy_.naive import NAIVE
from attnpanel.kernels.numpy_.online import ONLINE
from attnpanel.kernels.numpy_.row_blocked import ROW_BLOCKED
from attnpanel.kernels.numpy_.threads import share_out
from attnpanel.kernels.request import Inputs, Request
from tests.unit.kernels import formula

EVERY = pytest.mark.parametrize("kernel", [NAIVE, ROW_BLOCKED, ONLINE], ids=lambda k: k.name)


def one_head(query_len, key_len, dim, value_dim=None, **options):
    return Request(1, 1, 1, query_len, key_len, dim, value_dim or dim, **options)


def draw(request, seed=0):
    draws = np.random.default_rng(seed)
    r = request
    shapes = [
        (r.batch, r.heads, r.query_len, r.head_dim),
        (r.batch, r.kv_heads, r.key_len, r.head_dim),
        (r.batch, r.kv_heads, r.key_len, r.value_dim),
    ]
    arrays = [draws.standard_normal(shape).astype(r.dtype) for shape in shapes]
    return Inputs(*arrays, mask=r.visible(), bias=None)


def test_the_blocks_of_the_docstring_are_found():
    assert doctest.testmod(query_blocks).attempted > 0
    assert doctest.testmod(query_blocks).failed == 0


def test_a_window_hides_keys_at_both_ends_of_a_block():
    # Queries 2 and 3 see keys 1..3 and 2..4 of 7: key 1 is hidden from 3, key 4 from 2.
    blocks = query_blocks.query_blocks(make_mask("window", 7, window=2), 7, 7, 2)

    assert blocks[1].queries == slice(2, 4)
    assert blocks[1].keys == slice(1, 5)
    assert blocks[1].partly == (slice(1, 2), slice(4, 5))
    assert blocks[-1].queries == slice(6, 7)  # what is left over
    assert blocks[-1].partly == ()


def test_many_runs_of_hidden_keys_are_taken_as_one():
    mask = np.ones((2, 23), dtype=bool)
    mask[0, 1::2] = False

    (block,) = query_blocks.query_blocks(mask, 2, 23, 2)

    assert block.partly == (slice(1, 22),)


def test_a_block_that_sees_nothing_has_no_keys():
    (block,) = query_blocks.query_blocks(np.zeros((2, 3), dtype=bool), 2, 3, 5)

    assert block.keys == slice(0, 0)
    assert block.partly == ()


@EVERY
@pytest.mark.parametrize("threads", [1, 2])
def test_blas_has_the_callers_number_of_threads_again_after_a_call(kernel, threads):
    request = one_head(5, 7, 11)
    with threadpool_limits(3, user_api="blas"):
        kernel.prepare(draw(request), request, threads=threads)()
        numbers = {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}
    assert numbers == {3}


@EVERY
def test_threads_change_no_bit(kernel):
    request = Request(2, 3, 1, 300, 310, 8, 5, mask="causal")
    inputs = draw(request)

    one, two = (kernel.prepare(inputs, request, threads=threads)() for threads in (1, 2))

    if kernel.name == "numpy-naive":
        # Its threads are BLAS's own: on an AMD EPYC OpenBLAS adds up in another order for two. Sums
        # of 310 float32 products differ by less than 310 * 2**-24 of what is summed.
        np.testing.assert_allclose(
            one.output, two.output, rtol=0, atol=2e-5 * np.abs(inputs.value).max()
        )
    else:
        np.testing.assert_array_equal(one.output, two.output)


@EVERY
def test_the_inputs_are_left_alone_and_results_are_new(kernel):
    request = one_head(5, 7, 11)
    inputs = draw(request)
    before = [array.copy() for array in (inputs.query, inputs.key, inputs.value)]
    run = kernel.prepare(inputs, request)
    first, second = run(), run()

    for array, copy in zip((inputs.query, inputs.key, inputs.value), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    assert not np.shares_memory(first.output, second.output)
    np.testing.assert_array_equal(first.output, second.output)


@pytest.mark.parametrize(("pieces", "workers"), [(101, 3), (2, 2), (1, 1)])
def test_every_piece_of_work_is_done_once_by_as_many_workers_as_can_help(pieces, workers):
    made, done = [], []

    def make_worker():
        made.append(1)
        return done.append

    share_out(range(pieces), 3, make_worker)

    assert len(made) == workers
    assert sorted(done) == list(range(pieces))


def test_an_error_in_a_thread_reaches_the_caller():
    def fail(_):
        raise ZeroDivisionError("a piece failed")

    with pytest.raises(ZeroDivisionError, match="a piece failed"):
        share_out(range(5), 2, lambda: fail)


@pytest.mark.parametrize("size", [1.0, -1.0, 50.0, -50.0])
def test_rows_with_and_without_a_shift_are_right_side_by_side(size):
    # The first query's scores are 0 and ln 3; the second's are size and size + ln 3, which beyond
    # 20 is shifted by its maximum. The third key is hidden and much too large for exp.
    query = np.array([[[[1.0, 0.0], [1.0, size]]]], np.float32)
    key = np.array([[[[0.0, 1.0], [np.log(3.0), 1.0], [1000.0, 0.0]]]], np.float32)
    value = np.array([[[[8.0], [4.0], [9e9]]]], np.float32)
    mask = np.array([[True, True, False]])
    request = one_head(2, 3, 2, value_dim=1, scale=1.0)

    result = ROW_BLOCKED.prepare(Inputs(query, key, value, mask, None), request)()

    # Weights 1/4 and 3/4 by hand; roundings of float32, of scores of 50 for the second.
    np.testing.assert_allclose(result.output[0, 0], [[5.0], [5.0]], rtol=5e-6)
    np.testing.assert_allclose(result.logsumexp[0, 0], [np.log(4.0), np.log(4.0) + size], rtol=5e-6)


@EVERY
def test_a_hidden_key_changes_no_bit_of_a_query_that_may_not_see_it(kernel):
    # The last key and query are so long that their scores must be shifted; only the last sees it.
    request = one_head(300, 300, 8, mask="causal")
    inputs = draw(request)
    plain = kernel.prepare(inputs, request)().output
    inputs.query[..., -1, :] *= 100
    inputs.key[..., -1, :] *= 100
    inputs.value[..., -1, :] *= 100

    longer = kernel.prepare(inputs, request)().output

    np.testing.assert_array_equal(longer[..., :-1, :], plain[..., :-1, :])


def test_values_far_from_1_do_not_overflow():
    # Every score is 19 < 20, whose exp is 2e8.
    query = np.full((1, 1, 2, 1), 19, np.float32)
    key = np.ones((1, 1, 3, 1), np.float32)
    request = one_head(2, 3, 1, scale=1.0)

    for kernel in (NAIVE, ROW_BLOCKED, ONLINE):
        for size in (1e-25, 1e25):
            value = np.full((1, 1, 3, 1), size, np.float32)
            output = kernel.prepare(Inputs(query, key, value, None, None), request)().output
            np.testing.assert_allclose(output, np.full((1, 1, 2, 1), size), rtol=5e-7)


def test_scores_of_400_do_not_overflow():
    # exp(400) is beyond float32; the two scores differ by ln 3.
    query = np.full((1, 1, 1, 1), 400, np.float64)
    key = np.array([[[[1.0], [1 + np.log(3.0) / 400]]]])
    value = np.array([[[[8.0], [4.0]]]])

    for kernel in (NAIVE, ROW_BLOCKED, ONLINE):
        request = one_head(1, 2, 1, scale=1.0, dtype="float64")
        output = kernel.prepare(Inputs(query, key, value, None, None), request)().output
        np.testing.assert_allclose(output[0, 0, 0], [5.0], rtol=1e-12)


def test_memory_above_inputs_and_results_grows_with_the_block_and_not_with_t_squared():
    request = one_head(1024, 1024, 8)
    inputs = draw(request)
    scores = 1024 * 1024 * 4  # bytes of one whole matrix
    peaks = {}
    for kernel in (NAIVE, ROW_BLOCKED, ONLINE):
        run = kernel.prepare(inputs, request)
        tracemalloc.start()
        run()
        peaks[kernel] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peaks[NAIVE] > 2 * scores
    assert peaks[ROW_BLOCKED] < scores * numpy_row_blocked.BLOCK_LEN / 1024 + 200_000
    assert peaks[ONLINE] < 1_000_000


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mask": "causal", "bias": True, "temperature": 3.0},
        {"mask": "padding", "pad_lens": (3, 0)},
        {"dtype": "float16", "scale": -1e-4},
    ],
    ids=str,
)
def test_eight_bits_are_exact_where_inputs_are_such_integers(options):
    # Products of up to 1e5 over 1e3 are scores of some tens.
    request = Request(2, 6, 2, 5, 7, 11, 13, **{"scale": 1e-3, **options})
    rng = np.random.default_rng(0)
    inputs = formula.draw(request)
    for array in (inputs.query, inputs.key):
        array[...] = rng.integers(-127, 128, array.shape)
        array[..., 0] = 127  # so the step of each row is 1

    formula.assert_formula(INT8_SCORES, inputs, request)
