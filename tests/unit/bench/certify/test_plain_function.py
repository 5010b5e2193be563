"""Plain functions as implementations: what they are seen to do, and their certificates."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from attnpanel.bench import certify
from attnpanel.bench.certify.cases import (
    BLOCKS,
    GROUPED,
    PRIMES,
    SAME_DIMS,
    SQUARE,
    Case,
    make_inputs,
)
from attnpanel.bench.certify.function_observation import FunctionError
from attnpanel.bench.certify.gradients_certificate import certify_gradients
from attnpanel.bench.certify.plain_call import PlainCall
from attnpanel.bench.certify.plain_function import as_implementation, implementation_of
from attnpanel.kernels.implementation import LEAKS_ALL, LEAKS_VALUES
from attnpanel.kernels.request import Request
from tests.unit.bench.certify import plain_functions as functions


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(function, **options):
    return implementation_of(function, "made", **options)


@pytest.mark.parametrize(
    ("function", "framework", "dtypes"),
    [
        (functions.numpy_attention, "numpy", ("float64", "float32", "float16")),
        (functions.torch_attention, "torch", ("float64", "float32", "float16", "bfloat16")),
        (functions.float32_only, "numpy", ("float32",)),
        (functions.sixteen_bits_only, "torch", ("float16", "bfloat16")),
        (functions.model, "torch", ("float64", "float32", "float16", "bfloat16")),
    ],
)
def test_framework_and_dtypes_are_those_that_it_takes_and_returns(function, framework, dtypes):
    found = made(function)

    assert (found.framework, found.dtypes) == (framework, dtypes)


@pytest.mark.parametrize(
    ("function", "empty_rows", "leaks", "rounds"),
    [
        # float32 scores and weights; masked scores are filled: keys leak nothing.
        (functions.numpy_attention, "zero", LEAKS_VALUES, ("float32", "float32")),
        # flash on a CPU adds its mask: hidden keys reach the scores.
        (functions.torch_attention, "zero", LEAKS_ALL, ("float32", "storage")),
        (functions.eager, "nan", LEAKS_VALUES, ("storage", "storage")),
    ],
)
def test_what_it_does_beyond_the_request_is_observed(function, empty_rows, leaks, rounds):
    found = made(function)

    assert found.empty_rows == empty_rows
    assert found.hidden_leaks == leaks
    assert (found.scores_dtype, found.weights_dtype) == rounds


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (replace(SQUARE, scale=-0.4), "randn"),
        # The scale that it is given has the temperature in it.
        (Request(1, 1, 1, 2, 52, 64, 64, temperature=0.05, scale=-0.4), "large"),
    ],
)
def test_a_query_that_is_scaled_in_16_bits_is_observed_and_no_fault(request_, kind, dtype):
    found = made(functions.scales_query_first)
    case = Case(replace(request_, dtype=dtype), kind)

    assert found.scaled_query_dtype == "storage"
    assert found.scores_dtype == "float32"
    assert certify(found, case).reasons == ()
    gradients = certify_gradients(found, case)
    assert (gradients.verdict, gradients.reasons) == ("pass", ())


def test_an_infinite_key_has_the_sign_of_a_scale_that_the_query_has_in_it():
    found = made(functions.numpy_scales_query_first)

    assert found.scaled_query_dtype == "storage"
    assert not found.swallows
    assert certify(found, Case(replace(SQUARE, scale=-0.4, dtype="float16"))).reasons == ()


@pytest.mark.parametrize(
    ("function", "request_", "reason"),
    [
        (functions.eager, GROUPED, "grouped heads is declined: RuntimeError"),
        (
            functions.without_keywords,
            replace(SQUARE, mask="causal"),
            "a causal call is declined: it takes no keyword is_causal or mask",
        ),
        (
            functions.without_keywords,
            replace(PRIMES, mask="key_padding", pad_lens=(3, 7)),
            "a mask is declined: it takes no keyword mask",
        ),
        (
            functions.without_keywords,
            replace(SQUARE, temperature=0.5),
            "another scale is declined: it takes no keyword scale",
        ),
        (
            functions.numpy_attention,
            replace(SAME_DIMS, bias=True),
            "a bias is declined: it takes no keyword bias",
        ),
        (
            functions.float32_only,
            replace(SQUARE, dtype="float64"),
            "float64 is declined: NotImplementedError: float32 only",
        ),
        (
            functions.numpy_attention,
            replace(SQUARE, dtype="bfloat16"),
            "bfloat16 is declined: NumPy has no bfloat16",
        ),
        (
            functions.numpy_attention,
            replace(SQUARE, device="cuda"),
            "it was observed on cpu; got device cuda",
        ),
    ],
)
def test_what_it_can_not_do_is_unsupported_with_the_reason(function, request_, reason):
    assert made(function).unsupported(request_)[0].startswith(reason)


def test_what_it_does_not_decline_is_supported():
    found = made(functions.eager)

    for request in (
        PRIMES,
        replace(SAME_DIMS, bias=True, mask="causal"),
        replace(SQUARE, temperature=0.5, dtype="bfloat16"),
        replace(BLOCKS, mask="window", window=131),
    ):
        assert found.unsupported(request) == []
    half = made(functions.sixteen_bits_only)
    assert half.unsupported(replace(GROUPED, dtype="float16", mask="causal")) == []


@pytest.mark.parametrize(
    ("request_", "mask", "is_causal"),
    [
        (SQUARE, None, False),
        # Both alignments agree, and a kernel may have its own causal path.
        (replace(SQUARE, mask="causal"), None, True),
        (replace(SAME_DIMS, mask="causal"), (1, 1, 5, 7), False),
        (replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 7)), (2, 1, 1, 7), False),
    ],
)
def test_masks_have_four_axes_and_square_causal_calls_none(request_, mask, is_causal):
    given = []

    def keep(query, key, value, **keywords):
        given.append(keywords)
        return query

    PlainCall(keep).prepare(make_inputs(Case(request_)), request_, "numpy")()

    (keywords,) = given
    assert keywords["is_causal"] is is_causal
    assert keywords["scale"] == pytest.approx(11**-0.5)
    if mask is None:
        assert keywords["mask"] is None
    else:
        assert keywords["mask"].shape[-1] == mask[-1]
        assert keywords["mask"].ndim == 4


def test_scale_includes_the_temperature():
    request = replace(SQUARE, scale=0.5, temperature=4.0)
    scales = []

    def keep(query, key, value, *, scale):
        scales.append(scale)
        return query

    PlainCall(keep).prepare(make_inputs(Case(request)), request, "numpy")()

    assert scales == [0.125]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (functions.raises, "with numpy arrays KeyError: '<script>"),
        (functions.returns_a_list, "with torch arrays it returned list"),
        (lambda: None, "TypeError"),
        (len, "TypeError"),
    ],
)
def test_what_computes_nothing_is_one_error(function, words):
    with pytest.raises(FunctionError, match="PyTorch tensors or JAX arrays") as caught:
        made(function)

    assert words in str(caught.value)


def test_declared_framework_is_taken_and_an_unknown_one_refused():
    with pytest.raises(FunctionError, match="one head without a mask; in float32 TypeError"):
        made(functions.torch_attention, framework="numpy")
    with pytest.raises(FunctionError, match="framework must be numpy, torch or jax; got 'mlx'"):
        made(functions.torch_attention, framework="mlx")


def test_implementation_is_left_as_it_is():
    found = made(functions.numpy_attention)

    assert as_implementation(found, "other") is found


@pytest.mark.parametrize("function", [functions.numpy_attention, functions.torch_attention])
def test_correct_function_passes(function):
    for request in (
        replace(GROUPED, mask="causal", align="bottom_right"),
        replace(SQUARE, mask="causal"),
        replace(SAME_DIMS, mask="padding", pad_lens=(2, 4)),
        replace(SQUARE, dtype="float16", mask="causal", temperature=0.5),
    ):
        assert certify(made(function), Case(request)).reasons == ()


@pytest.mark.parametrize(
    ("function", "check"),
    [(functions.ignores_mask, "output"), (functions.remembers, "changed inputs")],
)
def test_wrong_function_fails(function, check):
    found = certify(made(function), Case(replace(SAME_DIMS, mask="key_padding", pad_lens=(3, 7))))

    assert found.verdict == "fail"
    assert check in {reason.partition(":")[0] for reason in found.reasons}


def test_tensors_share_the_memory_of_their_inputs():
    request = Request(1, 1, 1, 3, 3, 2, 2)
    inputs = make_inputs(Case(request))
    call = PlainCall(lambda query, *_: query).prepare(inputs, request, "torch")
    inputs.query[...] = 7

    np.testing.assert_array_equal(call().output.numpy(), np.full((1, 1, 3, 2), 7, np.float32))
