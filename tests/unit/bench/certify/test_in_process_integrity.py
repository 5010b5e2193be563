"""Functions that replace what judges them, certified in one process with their judge."""

import sys
import time
import types
from collections import deque

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify import checks_numeric, examination, judgement
from attnpanel.bench.certify.cases import SQUARE, Case
from attnpanel.bench.certify.checks_numeric import describe_excess
from attnpanel.bench.certify.context import CertificateContext
from attnpanel.bench.run.integrity import Integrity
from tests.unit.bench.certify.plain_functions import numpy_attention


@pytest.fixture(autouse=True)
def one_case(monkeypatch):
    monkeypatch.setattr(examination, "select_cases", lambda _which: [Case(SQUARE)] * 2)
    monkeypatch.setattr(examination, "measure_invariance", lambda *_, **__: ())
    monkeypatch.setattr(examination, "REPLACED_EARLIER", deque())


def passes(*_, **__):
    return ""


def a_check(patch):
    patch.setattr(checks_numeric, "describe_excess", passes)


def a_method(patch):
    patch.setattr(CertificateContext, "excess", passes)


def a_limit(patch):
    patch.setattr(judgement, "PASSING_UNITS", 1e9)


def code_of_a_check(patch):
    patch.setattr(describe_excess, "__code__", passes.__code__)


def a_default(patch):
    patch.setattr(judgement.error_ratio, "__kwdefaults__", {"stored": "bfloat16"})


def numpys_own(patch):
    patch.setattr(np, "isfinite", lambda x: np.ones(np.shape(x), bool))


def the_clock(patch):
    patch.setattr(time, "perf_counter", lambda: 0.0)


def builtin_max(patch):
    patch.setattr("builtins.max", lambda *_, **__: 0)


def what_looks_for_it(patch):
    patch.setattr(Integrity, "violation", passes)
    patch.setattr(judgement, "judge", passes)


def a_profile_function(patch):
    sys.setprofile(lambda *_: None)


CHEATS = (
    a_check, a_method, a_limit, code_of_a_check, a_default, numpys_own, the_clock,
    what_looks_for_it, a_profile_function,
)  # fmt: skip


def cheating(cheat, patch, wrong=1.5):
    """Return a wrong function that replaces something at its 30th call, once it is observed."""
    calls = types.SimpleNamespace(count=0)

    def function(query, key, value, *, mask=None, scale=1.0, is_causal=False):
        calls.count += 1
        if calls.count == 30:
            cheat(patch)
        output = numpy_attention(query, key, value, mask=mask, scale=scale, is_causal=is_causal)
        return output * query.dtype.type(wrong if calls.count >= 30 else 1)

    return function


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("cheat", CHEATS)
def test_function_that_replaces_what_judges_it_is_no_pass(cheat):
    before = sys.getprofile()
    with pytest.MonkeyPatch.context() as patch:
        found = certify(cheating(cheat, patch), seed=1, dtypes=["float32"])
    sys.setprofile(before)

    assert found.verdict == "error"
    reasons = {reason for case in found.cases for reason in case.reasons}
    (reason,) = {reason for reason in reasons if "must leave what times and judges it" in reason}
    assert reason.endswith("was replaced")


def test_an_honest_function_passes_and_the_certificate_says_what_one_process_can_not_hold():
    found = certify(numpy_attention, seed=1, dtypes=["float32"])

    assert found.verdict == "pass"
    assert any("subject and judge were in one process" in words for words in found.not_covered)


def test_another_function_is_not_judged_by_what_the_first_left_behind():
    with pytest.MonkeyPatch.context() as patch:
        certify(cheating(a_limit, patch), seed=1, dtypes=["float32"])
        after = certify(numpy_attention, seed=1, dtypes=["float32"])
        assert after.verdict == "error"
        assert "PASSING_UNITS was replaced" in after.cases[0].reasons[0]

    assert certify(numpy_attention, seed=1, dtypes=["float32"]).verdict == "pass"


def test_process_of_its_own_has_nothing_to_say_of_that():
    assert examination.InChild("numpy-naive", None).not_held == ()
