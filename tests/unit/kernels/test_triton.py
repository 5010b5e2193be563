"""Triton's kernels, computed by its interpreter: the formula's numbers, and certificates."""

import os
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.certify.cases import Case
from attnpanel.bench.certify.certificate import certify
from attnpanel.bench.certify.gradients_certificate import certify_gradients
from attnpanel.kernels import find_implementation
from attnpanel.kernels.request import Request
from attnpanel.kernels.triton_ import flash
from attnpanel.kernels.triton_.flash import TRITON_FLASH
from tests.unit.kernels.formula import assert_formula, draw

pytest.importorskip("torch")

SMALL = Request(2, 6, 2, 5, 7, 11, 13)
# More than a block of 64 queries and keys, and one key more.
BLOCKS = Request(1, 2, 1, 70, 129, 16, 32)


@pytest.fixture
def triton():
    return pytest.importorskip("triton", reason="Triton is not installed")


@pytest.mark.parametrize(
    "request_",
    [
        replace(SMALL, query_len=7, key_len=5, mask="causal", align="bottom_right", scale=-0.7),
        replace(SMALL, dtype="float16", mask="key_padding", pad_lens=(2, 7), temperature=3.0),
        replace(SMALL, bias=True, mask="padding", pad_lens=(3, 0), temperature=0.01),
        replace(BLOCKS, mask="causal"),
        replace(BLOCKS, mask="window", window=9, align="bottom_right"),
    ],
    ids=lambda request: Case(request).name,
)
def test_triton_gives_the_formulas_numbers(request_, triton):
    assert TRITON_FLASH.unsupported(request_) == []
    assert_formula(TRITON_FLASH, draw(request_), request_)


@pytest.mark.parametrize(
    "case",
    [
        Case(Request(1, 1, 1, 3, 5, 11, 13, mask="key_padding", pad_lens=(4,), bias=True)),
        Case(Request(1, 2, 1, 3, 3, 7, 7, dtype="float16", mask="causal")),
    ],
    ids=lambda case: case.name,
)
def test_attention_in_triton_is_certified_as_interpreted(case, triton):
    found = certify(TRITON_FLASH, case)

    assert (found.verdict, found.basis, found.reasons) == ("pass", "interpreted", ())


@pytest.mark.parametrize(
    "case",
    [
        Case(Request(2, 1, 1, 3, 5, 11, 13, mask="padding", pad_lens=(2, 3), bias=True)),
        Case(Request(1, 2, 1, 5, 5, 7, 7, dtype="float16", mask="causal")),
    ],
    ids=lambda case: case.name,
)
def test_gradients_in_triton_are_certified(case, triton):
    found = certify_gradients(TRITON_FLASH, case)

    assert (found.verdict, found.reasons) == ("pass", ())
    assert set(found.units) == {"query", "key", "value"} | (
        {"bias"} if case.request.bias else set()
    )


def test_gradients_beyond_a_block_are_those_of_another_kernel(triton):
    request = replace(BLOCKS, mask="causal", batch=1)
    inputs = draw(request)
    given = np.random.default_rng(1).standard_normal((1, 2, 70, 32)).astype(np.float32)
    eager = find_implementation("torch-eager").gradients.prepare(inputs, request, given)()
    found = TRITON_FLASH.gradients.prepare(inputs, request, given)()

    for name in ("query", "key", "value"):
        # Some hundred roundings of float32 numbers of about 10.
        np.testing.assert_allclose(getattr(found, name), getattr(eager, name), rtol=0, atol=2e-5)


def test_what_its_interpreter_cannot_run_it_says_in_words(monkeypatch):
    monkeypatch.setattr(flash, "find_spec", lambda _name: None)
    (reason,) = TRITON_FLASH.unsupported(SMALL)
    assert reason == "triton-flash needs the package triton, which is not installed"
    monkeypatch.setattr(flash, "find_spec", lambda name: name)
    (reason,) = TRITON_FLASH.unsupported(replace(SMALL, dtype="bfloat16"))
    assert reason == "Triton's interpreter multiplies bfloat16 numbers as if integers"
    (reason,) = TRITON_FLASH.unsupported(replace(SMALL, key_len=2**17))
    assert "too slow for more than 262144 scores; got 7864320" in reason
    (reason,) = TRITON_FLASH.unsupported(replace(SMALL, head_dim=257))
    assert reason == "triton-flash takes head_dim and value_dim up to 256; got 257 and 13"
    monkeypatch.setattr(flash, "interprets", lambda: False)
    (reason,) = TRITON_FLASH.unsupported(SMALL)
    assert "only where there is no CUDA device" in reason


@pytest.mark.parametrize("before", [None, "0"])
def test_the_environment_is_as_it_was(monkeypatch, before):
    monkeypatch.delenv(flash.INTERPRET, raising=False)
    if before is not None:
        monkeypatch.setenv(flash.INTERPRET, before)
    with flash.interpreter_mode():
        assert os.environ[flash.INTERPRET] == "1"

    assert os.environ.get(flash.INTERPRET) == before
