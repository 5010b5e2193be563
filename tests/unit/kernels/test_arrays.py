import numpy as np
import pytest

from attnpanel.kernels.arrays import ArrayFacts, describe, to_float64

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize(
    ("array", "facts"),
    [
        (np.zeros((2, 3), np.float16), ArrayFacts((2, 3), "float16", "cpu")),
        (np.zeros((5,), np.float64), ArrayFacts((5,), "float64", "cpu")),
        (torch.zeros(2, 3, dtype=torch.bfloat16), ArrayFacts((2, 3), "bfloat16", "cpu")),
        (torch.nn.Parameter(torch.zeros(7)), ArrayFacts((7,), "float32", "cpu")),
        (torch.zeros(3, device="meta"), ArrayFacts((3,), "float32", "meta")),
    ],
)
def test_shape_dtype_and_device_are_told_in_the_same_words(array, facts):
    assert describe(array) == facts


def test_numbers_are_read_from_every_dtype():
    # 1 + 2^-7 is the smallest bfloat16 above 1.
    for array in (
        np.array([1 + 2**-7, -0.5], np.float32),
        torch.tensor([1 + 2**-7, -0.5], dtype=torch.bfloat16),
        torch.tensor([1 + 2**-7, -0.5], dtype=torch.float64, requires_grad=True),
    ):
        numbers = to_float64(array)
        assert numbers.dtype == np.float64
        np.testing.assert_array_equal(numbers, [1.0078125, -0.5])


def test_the_numbers_read_are_a_copy():
    source = np.zeros(2)
    to_float64(source)[0] = 1
    np.testing.assert_array_equal(source, [0, 0])

    shared = torch.zeros(2, dtype=torch.float64)
    to_float64(shared)[0] = 1
    np.testing.assert_array_equal(shared.numpy(), [0, 0])


def test_a_jax_array_is_read_like_the_others():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    array = jax.numpy.asarray([[1 + 2**-7, -0.5]], dtype="bfloat16")

    assert describe(array) == ArrayFacts((1, 2), "bfloat16", "cpu")
    np.testing.assert_array_equal(to_float64(array), [[1.0078125, -0.5]])


@pytest.mark.parametrize("wrong", [None, [1.0, 2.0], 3])
def test_what_is_no_array_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match=f"NumPy's, PyTorch's or JAX's; got {type(wrong).__name__}"):
        describe(wrong)
    with pytest.raises(TypeError, match=f"got {type(wrong).__name__}"):
        to_float64(wrong)
