"""What leaks from hidden keys is judged by what an implementation declares."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.certify.checks_hidden import CONTENTS, describe_leaks, poisoned
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.arrays import to_float64
from attnpanel.kernels.request import Request

PADDED = Case(Request(2, 3, 3, 5, 7, 11, 11, mask="key_padding", pad_lens=(3, 7)))
ON_A_CPU = [one for one in IMPLEMENTATIONS if not one.unsupported(PADDED.request)]


def checked(agreement):
    return {check.name: check.verdict for check in agreement.checks}.get("hidden contents")


@pytest.mark.parametrize("content", CONTENTS)
def test_keys_and_values_are_poisoned_where_they_are_hidden_only(content):
    inputs = make_inputs(PADDED)
    hidden = ~PADDED.request.visible()[:, 0].any(axis=1)

    changed = poisoned(inputs, hidden, content)

    name = content.partition(" ")[0]
    other = {"key": "value", "value": "key"}[name]
    assert not np.isfinite(getattr(changed, name)[0, :, 3:]).any()
    np.testing.assert_array_equal(getattr(changed, name)[0, :, :3], getattr(inputs, name)[0, :, :3])
    np.testing.assert_array_equal(getattr(changed, name)[1], getattr(inputs, name)[1])
    np.testing.assert_array_equal(getattr(changed, other), getattr(inputs, other))


@pytest.mark.parametrize("implementation", ON_A_CPU, ids=lambda one: one.name)
def test_every_implementation_leaks_what_it_declares_and_no_more(implementation):
    if implementation.compiles:
        pytest.skip("compiling takes longer than a unit test may; the bench certifies it")
    hidden = ~PADDED.request.visible()[:, 0].any(axis=1)
    inputs = make_inputs(PADDED)

    def output(content):
        call = implementation.prepare(poisoned(inputs, hidden, content), PADDED.request)
        with np.errstate(invalid="ignore"):
            return to_float64(call().output)

    leaks = {content for content in CONTENTS if not np.isfinite(output(content)).all()}

    assert leaks == implementation.hidden_leaks


def test_an_undeclared_leak_fails_and_without_a_declaration_nothing_is_judged():
    naive = find_implementation("numpy-naive")

    claims = certify(replace(naive, hidden_leaks=frozenset()), PADDED)
    silent = certify(replace(naive, hidden_leaks=None), PADDED)

    assert checked(certify(naive, PADDED)) == "pass"
    assert checked(claims) == "fail"
    assert "value nan of keys hidden from every query" in claims.reasons[0]
    assert checked(silent) is None


def test_declarations_in_words():
    assert describe_leaks(find_implementation("torch-eager")) == "value nan, value inf"
    assert describe_leaks(find_implementation("numpy-online")) == "nothing"
    assert describe_leaks(find_implementation("torch-sdpa-cudnn")) == "not declared"
