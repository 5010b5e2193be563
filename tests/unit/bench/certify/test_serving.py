"""The laws of serving: which law finds which way of treating a sequence differently."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.certify import serving
from attnpanel.bench.certify.invariance_command import invariance_table
from attnpanel.bench.certify.serving import Invariance, describe_invariance, measure_invariance
from attnpanel.bench.certify.serving_laws import LAWS
from attnpanel.kernels import find_implementation
from tests.unit.bench.certify.fault_injection import make_attention

RIGHT = make_attention()


@pytest.fixture(autouse=True)
def one_shape(monkeypatch):
    monkeypatch.setattr(serving, "SHAPES", serving.SHAPES[:1])


def spoiled(when, change, *, of="output"):
    """Return right attention, one of whose results is changed in some requests."""

    def prepare(inputs, request, *, threads=1):
        call = RIGHT.prepare(inputs, request)

        def run():
            raw = call()
            return replace(raw, **{of: change(getattr(raw, of))}) if when(request) else raw

        return run

    return replace(RIGHT, prepare=prepare)


def results(implementation, dtype="float32"):
    return {found.law: found for found in measure_invariance(implementation, dtype)}


def first_entry_only(output):
    return output * np.where(np.arange(len(output)) == 0, 1, 1.001).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_right_attention_obeys_every_law(dtype):
    found = results(RIGHT, dtype)

    assert list(found) == list(LAWS)
    assert {one.result for one in found.values()} <= {"bit-equal", "within rounding"}
    assert found["batch"].result == found["position"].result == "bit-equal"
    assert {one.shapes for one in found.values()} == {1}


@pytest.mark.parametrize("name", ["torch-sdpa-flash", "torch-eager"])
def test_bfloat16_obeys_the_laws_within_a_last_bit_and_what_rounding_explains(name):
    found = results(find_implementation(name), "bfloat16")

    assert "not" not in {one.result for one in found.values()}
    assert found["decode"].worst < 0.5


@pytest.mark.parametrize(
    ("law", "wrong"),
    [
        ("batch", spoiled(lambda r: r.batch == 1, lambda output: output * 1.001)),
        ("position", spoiled(lambda r: r.batch > 1, first_entry_only)),
        ("chunks", spoiled(lambda r: 1 < r.query_len < 37, lambda output: output * 1.001)),
        ("decode", spoiled(lambda r: r.query_len == 1, lambda output: output * 1.001)),
        ("padding", spoiled(lambda r: r.mask == "key_padding", lambda output: output * 1.001)),
        ("split keys", spoiled(lambda _: True, lambda sums: sums * 1.4427, of="logsumexp")),
    ],
)
def test_law_finds_what_breaks_it_and_no_other_does(law, wrong):
    found = results(wrong)

    assert found[law].result == "not"
    assert found[law].worst > 1
    assert "T37 S53" in found[law].reason
    others = {one.result for name, one in found.items() if name not in (law, "batch", "position")}
    assert others <= {"bit-equal", "within rounding"}


def test_sixteen_bits_may_differ_by_a_last_bit_and_not_by_two():
    def off(bits):
        def change(output):
            for _ in range(bits):
                output = np.nextafter(output, np.float16(9))
            return output

        return replace(spoiled(lambda r: r.batch == 1, change), weights_dtype="float32")

    assert results(off(1), "float16")["batch"].result == "within rounding"
    assert results(off(2), "float16")["batch"].result == "not"


def test_nan_in_one_arrangement_is_not_invariant():
    found = results(spoiled(lambda r: r.batch == 1, lambda output: output * np.nan))["batch"]

    assert (found.result, found.worst) == ("not", None)
    assert describe_invariance(found) == "NOT: not finite (0 % bit-equal)"


def test_what_is_not_supported_has_its_reason():
    without_sums = replace(RIGHT, returns=frozenset({"output"}))
    found = results(without_sums)["split keys"]
    assert (found.result, found.shapes) == ("unsupported", 0)
    assert found.reason == "it returns no logsumexp, by which parts are merged"

    square = replace(
        RIGHT,
        unsupported=lambda r: ["T and S must be equal"] if r.query_len != r.key_len else [],
    )
    assert {one.reason for one in results(square).values()} == {"T and S must be equal"}


def test_exception_is_an_error_with_its_text():
    def prepare(inputs, request, *, threads=1):
        raise KeyError("no plan")

    found = results(replace(RIGHT, prepare=prepare))["decode"]
    assert found.result == "error"
    assert found.reason == "KeyError: 'no plan' (T 37)"


@pytest.mark.parametrize(
    ("result", "share", "worst", "words"),
    [
        ("bit-equal", 1.0, 0.0, "bit-equal"),
        ("within rounding", 0.771, 0.424, "within 42 % (77 % bit-equal)"),
        ("within rounding", 0.9999, 0.0, "within a last bit (99 % bit-equal)"),
        ("not", 0.5, 3.14159, "NOT: 3.14 times what passes (50 % bit-equal)"),
        ("unsupported", None, None, "–"),
    ],
)
def test_results_in_words(result, share, worst, words):
    assert describe_invariance(Invariance("batch", "float32", result, share, worst, 1, "")) == words


def test_table_has_a_row_for_each_that_computes_the_dtype():
    none = [Invariance(law, "float32", "unsupported", None, None, 0, "") for law in LAWS]
    some = [Invariance(law, "float32", "bit-equal", 1.0, 0.0, 1, "") for law in LAWS]

    lines = invariance_table({"none": none, "some": some}).splitlines()

    assert [line.split()[1] for line in lines[2:]] == ["some"]
    assert lines[2].count("bit-equal") == len(LAWS)


def test_command_prints_a_table_for_each_dtype(capsys):
    assert main(["invariance", "--only", "numpy-online", "--dtype", "float32", "float16"]) == 0

    printed = capsys.readouterr().out
    assert printed.count("numpy-online") == 2
    assert "split keys" in printed


def test_merging_parts_by_their_log_sum_exp_is_within_rounding():
    assert results(find_implementation("numpy-online"))["split keys"].result == "within rounding"
