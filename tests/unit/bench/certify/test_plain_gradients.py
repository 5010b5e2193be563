"""Gradients of plain functions: their certificates, in this process and by the command."""

import functools
from dataclasses import replace

import jax
import pytest

from attnpanel.bench import certify
from attnpanel.bench.__main__ import main
from attnpanel.bench.certify import examination
from attnpanel.bench.certify.cases import GROUPED, PRIMES, SQUARE, Case
from attnpanel.bench.certify.document import read_certificate
from attnpanel.bench.certify.document_html import certificate_html
from attnpanel.bench.certify.function_observation import FunctionError, framework_of
from attnpanel.bench.certify.gradients_certificate import certify_gradients
from attnpanel.bench.certify.plain_call import PlainCall
from attnpanel.bench.certify.plain_function import implementation_of
from attnpanel.bench.certify.plain_gradients import plain_backward
from attnpanel.kernels import find_implementation
from attnpanel.kernels.request import Request
from tests.unit.bench.certify import plain_functions as functions

MODULE = "tests.unit.bench.certify.plain_functions"


@pytest.fixture(autouse=True)
def few_cases(monkeypatch):
    monkeypatch.setattr(examination, "select_cases", lambda _which: [Case(SQUARE)])
    monkeypatch.setattr(examination, "measure_invariance", lambda *_, **__: ())


def certified(function, **options):
    return certify(function, cases="few", gradients=True, seed=3, **options)


@pytest.fixture(scope="module")
def passing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examination, "select_cases", lambda _which: [Case(SQUARE)])
        patch.setattr(examination, "measure_invariance", lambda *_, **__: ())
        return certified(functions.float32_formula)


def test_gradients_of_stored_weights_are_stored_as_autograd_does():
    found = implementation_of(functions.stores_weights, "stored")
    # The product of dO and equal values is one number, rounded once for all keys of a row.
    request = Request(2, 4, 2, 28, 565, 192, 192, "float16", temperature=17.0)

    assert found.weights_dtype == "storage"
    assert certify_gradients(found, Case(request)).reasons == ()


def test_gradients_of_a_correct_function_are_certified_beside_its_output(passing):
    assert passing.verdict == "pass"
    assert passing.summary == (
        "Computes attention in all 16 cases that it takes, 15 of them of gradients."
    )
    margins = {margin.dtype: margin for margin in passing.margins}
    sixteen = ("float16 gradients", "bfloat16 gradients")
    assert set(margins) == {"float32", "float32 gradients", *sixteen}
    assert passing.scope[-1] == (
        "Gradients of query, key, value and bias in 15 cases in float32, float16, bfloat16, "
        "T to 5, S to 7."
    )
    assert "Gradients." not in passing.not_covered
    assert passing.command.endswith("float32_formula --cases few --gradients --seed 3")
    checks = {check.name for check in passing.checks}
    assert {"output", "d key", "one row", "shifted keys"} <= checks


def test_page_shows_the_margin_of_gradients(passing):
    page = certificate_html(passing)

    assert "bfloat16 gradients" in page
    assert "a vector added to every key changes no dQ" in page


def test_weights_in_16_bits_give_gradients_a_limit_of_ten_units():
    found = certified(functions.torch_attention, dtypes=["bfloat16"])

    (margin,) = found.margins
    assert (found.verdict, margin.limit) == ("pass", 10)


def test_wrong_gradient_of_the_key_fails_although_the_output_is_right():
    found = certified(functions.wrong_key_gradient, dtypes=["float32"])

    assert found.verdict == "fail"
    assert found.summary == "Is wrong in 5 of 6 cases, 5 of them of gradients."
    failed = {check.name for check in found.checks if check.failed}
    assert failed >= {"d key", "sums of products"}
    assert "d query" not in failed


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (functions.not_differentiable, "torch gives no gradients: element 0 of tensors does not"),
        (functions.numpy_attention, "PyTorch tensors or JAX arrays; it takes NumPy arrays"),
    ],
)
def test_what_is_not_differentiable_is_one_sentence(function, words):
    with pytest.raises(FunctionError, match=words):
        certified(function)


def test_without_being_asked_for_gradients_are_not_covered():
    found = certify(functions.float32_formula, dtypes=["float32"], seed=3)

    assert "Gradients." in found.not_covered


@pytest.mark.parametrize("block", [256, 32])
def test_a_maximum_that_autograd_differentiates_may_receive_rounding_errors(block):
    request = Request(1, 4, 2, 70, 97, 96, 96, mask="causal", align="bottom_right")
    function = functools.partial(functions.divides_after, block=block)

    found = certify_gradients(implementation_of(function, "divides after"), Case(request))

    assert (found.verdict, found.reasons) == ("pass", ())


@pytest.mark.thorough
def test_jax_gives_gradients_by_its_own_means():
    framework = framework_of(PlainCall(functions.jax_attention), "cpu")
    assert framework == "jax"
    base = replace(find_implementation("jax-formula"), empty_rows="zero")
    case = Case(replace(GROUPED, mask="causal", align="bottom_right"))

    def halved(query, key, value, *, mask=None, scale=1.0):
        # Half of the key's gradient, and all of the key.
        key = key / 2 + jax.lax.stop_gradient(key / 2)
        return functions.jax_attention(query, key, value, mask=mask, scale=scale)

    right, wrong = (
        certify_gradients(
            replace(base, gradients=plain_backward(PlainCall(jax.jit(function)), framework)), case
        )
        for function in (functions.jax_attention, halved)
    )

    assert (right.verdict, right.reasons) == ("pass", ())
    assert wrong.reasons[0].startswith("d key: up to 8 units")


def test_function_that_jax_can_not_differentiate_says_so():
    def by_numpy(query, key, value, *, mask=None, scale=1.0):
        return jax.numpy.asarray(functions.numpy_attention(query, key, value, scale=scale))

    (reason,) = plain_backward(PlainCall(by_numpy), "jax").unsupported(PRIMES)

    assert reason.startswith("JAX gives no gradients: TracerArrayConversionError")


@pytest.mark.thorough
@pytest.mark.slow  # a process of its own
def test_command_certifies_gradients_and_says_where_there_are_none(tmp_path, capsys):
    arguments = ["--cases", "few", "--gradients", "--dtype", "float32", "-o", str(tmp_path / "one")]
    assert main(["certify", f"{MODULE}:float32_formula", *arguments]) == 0
    assert "5 of them of gradients" in capsys.readouterr().out
    assert {m.dtype for m in read_certificate(tmp_path / "one.json").margins} == {
        "float32",
        "float32 gradients",
    }

    arguments[-1] = str(tmp_path / "other")
    assert main(["certify", "numpy-naive", *arguments]) == 1
    assert "it takes NumPy arrays" in capsys.readouterr().err
