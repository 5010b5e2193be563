"""The reference of the backward pass, its units, and the certificate of gradients."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from attnpanel.bench.__main__ import main
from attnpanel.bench.certify.cases import GROUPED, PRIMES, SAME_DIMS, SQUARE, Case, make_inputs
from attnpanel.bench.certify.gradients import reference_gradients
from attnpanel.bench.certify.gradients_certificate import (
    DTYPES,
    certify_gradients,
    gradient_cases,
)
from attnpanel.bench.certify.gradients_command import certified_row, gradients_table, lengths_table
from attnpanel.bench.certify.gradients_context import GradientContext, draw_output_gradient
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.implementation import GradientCall, RawGradients
from attnpanel.kernels.request import Request
from tests.unit.bench.certify.caught_by import kept_first
from tests.unit.bench.certify.gradient_defects import FAULTS, FROM_STORED, simulated_backward


def _quick_cases(dtype):
    """All but the two longest, which take half a second each."""
    cases = gradient_cases(dtype)
    longest = sorted(cases, key=lambda case: case.request.query_len + case.request.key_len)[-2:]
    return [case for case in cases if case not in longest]


CASES = {dtype: _quick_cases(dtype) for dtype in DTYPES}
TORCH = [row for row in IMPLEMENTATIONS if row.gradients and not row.compiles]
# What rounds to bfloat16 is no fault in bfloat16.
NO_FAULT = {("weights and dS in bfloat16", "bfloat16")}
DEFECTS = [pair for pair in itertools.product(FAULTS, DTYPES) if pair not in NO_FAULT]

FORMULA = (
    PRIMES,
    replace(SQUARE, mask="causal", temperature=0.3),
    replace(GROUPED, mask="key_padding", pad_lens=(3, 7)),
    replace(GROUPED, bias=True, scale=-0.4),
    # Empty rows: padded queries, and more queries than keys.
    replace(SAME_DIMS, mask="padding", pad_lens=(2, 4), bias=True),
    replace(SAME_DIMS, query_len=7, key_len=5, mask="causal", align="bottom_right"),
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(request, seed=0):
    case = Case(request, seed=seed)
    return make_inputs(case), draw_output_gradient(request, seed)


def of_autograd(request, inputs, given):
    """Differentiate attention, written as its formula, by autograd in float64."""
    q, k, v = (
        torch.tensor(x, requires_grad=True) for x in (inputs.query, inputs.key, inputs.value)
    )
    bias = None if inputs.bias is None else torch.tensor(inputs.bias, requires_grad=True)
    group = request.heads // request.kv_heads
    keys, values = (x.repeat_interleave(group, dim=1) for x in (k, v))
    x = request.score_scale * (q @ keys.mT)
    x = (x if bias is None else x + bias) / request.temperature
    shape = (request.batch, request.heads, request.query_len, request.key_len)
    mask = np.ones(shape, bool) if inputs.mask is None else np.broadcast_to(inputs.mask, shape)
    seen = torch.tensor(mask.copy())
    weights = torch.where(seen, x.masked_fill(~seen, -1e300).softmax(-1), 0.0)
    leaves = [q, k, v] if bias is None else [q, k, v, bias]
    found = torch.autograd.grad(weights @ values, leaves, torch.tensor(given))
    return dict(zip(("query", "key", "value", "bias"), found, strict=False))


@pytest.mark.parametrize("request_", FORMULA, ids=lambda r: Case(r).name)
def test_reference_is_the_derivative_of_the_formula(request_):
    request = replace(request_, dtype="float64")
    inputs, given = drawn(request)
    found = reference_gradients(request, inputs, given)
    right = of_autograd(request, inputs, given)
    assert found.keys() == right.keys()
    for name, array in found.items():
        # A few roundings of float64 of values of about 10.
        np.testing.assert_allclose(array.astype(float), right[name].numpy(), rtol=0, atol=5e-14)


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize("dtype", DTYPES)
def test_correct_backward_passes_every_case(dtype):
    cases = list(enumerate(CASES[dtype]))
    if dtype != "float32":  # both have the same cases and the same model: half of them each
        cases = cases[dtype == "bfloat16" :: 2]
    for seed, case in cases:
        implementation = simulated_backward(block=(32, 64, 128)[seed % 3])
        found = certify_gradients(implementation, replace(case, seed=seed))
        assert (found.verdict, found.reasons) == ("pass", ())


def caught_gradient(fault, dtype):
    """Return how many cases passed a defect before one caught it, and that case."""
    # Sums in 16 bits show after many blocks, which the last cases have: with blocks of 128, that of
    # 2048 queries.
    summed = "summed" in fault
    implementation = simulated_backward(fault, block=32 if summed else 128)
    cases = reversed(CASES[dtype]) if summed else CASES[dtype]
    for passed, case in enumerate(kept_first(f"{fault}, {dtype}", cases)):
        if certify_gradients(implementation, case, until_failed=True).verdict == "fail":
            return passed, case
    return None


@pytest.mark.thorough(every=3)
@pytest.mark.slow  # every defect, in every dtype
@pytest.mark.parametrize(("fault", "dtype"), DEFECTS)
def test_planted_defect_is_found(fault, dtype):
    assert caught_gradient(fault, dtype) is not None


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("scale missing in d key", "sums of products"),
        ("normaliser's term missing", "equal values"),
        ("normaliser's term missing", "shifted keys"),
        ("mask one key late", "one row"),
        ("mask not applied", "hidden keys"),
    ],
)
def test_law_finds_its_defect(fault, check):
    case = Case(replace(SQUARE, mask="key_padding", pad_lens=(3, 3)))
    found = certify_gradients(simulated_backward(fault), case)
    assert check in {reason.partition(":")[0] for reason in found.reasons}


def test_root_mean_square_finds_errors_that_the_largest_does_not_show():
    request = replace(SQUARE, heads=1, kv_heads=1, query_len=67, key_len=61)
    right = simulated_backward()
    inputs, given = drawn(request)
    expected = GradientContext(right, request, inputs, given).expected
    signs = np.random.default_rng(0).choice([-1.8, 1.8], expected.values["key"].shape)
    wrong = (expected.values["key"] + signs * expected.units["key"]).astype(np.float32)
    found = certify_gradients(spoiled(lambda raw, _: replace(raw, key=wrong)), Case(request))
    assert found.units["key"] < 2
    assert any("d key: rms up to 1.5 passes; got 1.8" in reason for reason in found.reasons)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_of_stored_weights_in_ds_is_in_the_model(dtype):
    # dQ errs by two roundings, P's and dS's; with one of them in its unit alone by 1.28 units.
    request = Request(1, 1, 1, 128, 256, 64, 64, dtype=dtype)
    context = GradientContext(simulated_backward(FROM_STORED), request, *drawn(request))
    assert 0.9 < context.expected.statistics("query", context.actual["query"])["rms"] < 1.1


def called_again(change, *, whole):
    """Return an implementation whose second call, or second backward pass, is changed."""
    right = simulated_backward()

    def prepare(inputs, request, output_gradient, *, threads=1):
        call = right.gradients.prepare(inputs, request, output_gradient)

        def changed_when_again():
            results = itertools.chain([lambda raw: raw, change], itertools.repeat(lambda raw: raw))
            return lambda: next(results)(call())

        if whole:
            return changed_when_again()
        return GradientCall(lambda: (right.prepare(inputs, request)(), changed_when_again()))

    return replace(right, gradients=replace(right.gradients, prepare=prepare))


@pytest.mark.parametrize("name", ["query", "key", "value"])
@pytest.mark.parametrize("whole", [True, False])
def test_gradients_that_a_second_call_adds_to_are_found(name, whole):
    wrong = called_again(lambda raw: replace(raw, **{name: 2 * getattr(raw, name)}), whole=whole)

    found = certify_gradients(wrong, Case(SQUARE))

    assert {reason.partition(":")[0] for reason in found.reasons} == {"repeated calls"}
    what = "a second call of one preparation" if whole else "a second backward pass"
    assert f"{what}: d {name}: " in found.reasons[0]


def test_a_backward_pass_that_reads_what_the_last_forward_pass_kept_is_found():
    right = simulated_backward()
    kept = []

    def prepare(inputs, request, output_gradient, *, threads=1):
        call = right.gradients.prepare(inputs, request, output_gradient)

        def forward():
            kept[:] = [call]

            def backward():
                (last,) = kept
                return last()

            return right.prepare(inputs, request)(), backward

        return GradientCall(forward)

    wrong = replace(right, gradients=replace(right.gradients, prepare=prepare))

    (reason,) = certify_gradients(wrong, Case(SQUARE)).reasons

    assert reason.startswith("repeated calls: a backward pass after another call: d ")


def test_a_backward_pass_that_reads_the_first_and_last_key_of_a_mask_alone_is_found():
    right = simulated_backward()

    def prepare(inputs, request, output_gradient, *, threads=1):
        after = np.logical_or.accumulate(inputs.mask, axis=-1)
        before = np.logical_or.accumulate(inputs.mask[..., ::-1], axis=-1)[..., ::-1]
        filled = replace(inputs, mask=after & before)
        return right.gradients.prepare(filled, request, output_gradient)

    wrong = replace(right, gradients=replace(right.gradients, prepare=prepare))

    (reason,) = certify_gradients(wrong, HIDDEN).reasons

    assert reason.startswith("other mask: d ")


def spoiled(change):
    """Return the correct backward with its RawGradients changed."""
    right = simulated_backward()

    def prepare(inputs, request, given, *, threads=1):
        call = right.gradients.prepare(inputs, request, given)
        return lambda: change(call(), given)

    return replace(right, gradients=replace(right.gradients, prepare=prepare))


HIDDEN = Case(replace(SQUARE, mask="key_padding", pad_lens=(3, 3)))


def put(array, value):
    array[..., -1, 0] = value
    return array


@pytest.mark.parametrize(
    ("change", "check"),
    [
        pytest.param(
            lambda raw, _: replace(raw, value=put(raw.value, 1e-30)), "hidden keys", id="value"
        ),
        pytest.param(lambda raw, _: replace(raw, key=put(raw.key, 1e-30)), "hidden keys", id="key"),
        pytest.param(
            lambda raw, given: replace(
                raw, query=raw.query * np.float32(1 + 2e-7 * (np.abs(given).max() > 20))
            ),
            "doubled",
            id="other arithmetic for large dO",
        ),
        pytest.param(
            lambda raw, given: replace(
                raw, query=raw.query * np.float32(1 + 2e-7 * (np.abs(given).max() < 1e-3))
            ),
            "doubled",
            id="other arithmetic for small dO",
        ),
        pytest.param(
            lambda raw, given: replace(
                raw,
                query=raw.query + np.float32(1e-30) * (np.count_nonzero(given) < given.size / 2),
            ),
            "one row",
            id="other rows touched",
        ),
    ],
)
def test_law_finds_what_is_within_rounding(change, check):
    found = certify_gradients(spoiled(change), HIDDEN)
    assert found.verdict == "fail"
    assert check in {reason.partition(":")[0] for reason in found.reasons}


def test_calls_that_differ_fail_where_determinism_is_declared():
    noise = iter(np.float32(1 + 1e-6 * k) for k in range(100))
    varying = spoiled(lambda raw, _: replace(raw, query=raw.query * next(noise)))
    found = certify_gradients(varying, HIDDEN)
    assert any(reason.startswith("determinism") for reason in found.reasons)
    undeclared = replace(varying, gradients=replace(varying.gradients, deterministic_on=()))
    names = {check.name: check.verdict for check in certify_gradients(undeclared, HIDDEN).checks}
    assert "determinism" not in names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw, _: replace(raw, key=raw.key[:, :1]), "must have its shape"),
        (lambda raw, _: RawGradients(raw.query, None, raw.value), "got None"),
    ],
)
def test_gradient_of_the_wrong_shape_is_an_error(change, message):
    found = certify_gradients(spoiled(change), HIDDEN)
    assert found.verdict == "error"
    assert message in found.reasons[0]


def test_nan_fails():
    found = certify_gradients(
        spoiled(lambda raw, _: replace(raw, key=raw.key * np.float32(np.nan))), HIDDEN
    )
    assert found.verdict == "fail"
    assert found.units["key"] == np.inf


@pytest.mark.thorough(but=9)
@pytest.mark.parametrize("implementation", TORCH, ids=lambda row: row.name)
@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_gradients_are_right(implementation, dtype):
    # 16-bit flash gradients of more than one block of queries are the finding below.
    few = 6 if dtype != "float32" and implementation.weights_dtype == "storage" else 7
    certificates = [certify_gradients(implementation, case) for case in CASES[dtype][:few]]
    failed = [one for one in certificates if one.verdict not in ("pass", "unsupported")]
    assert failed == []
    reasons = {reason for one in certificates for reason in one.reasons}
    assert any(one.verdict == "pass" for one in certificates) or reasons


def test_empty_rows_declared_nan_are_not_judged():
    case = Case(replace(SAME_DIMS, mask="padding", pad_lens=(2, 4)))
    found = certify_gradients(find_implementation("torch-eager"), case)
    assert found.verdict == "unsupported"
    assert "declared nan; gradients are not finite in value" in found.reasons[0]


def test_torch_flash_sums_16_bit_gradients_in_16_bits():
    # torch 2.13 on a CPU: dV's rms is 1.00 units with one block of queries, 1.35 with four.
    def rms(implementation, length):
        request = Request(1, 1, 1, length, length, 64, 64, dtype="bfloat16")
        context = GradientContext(implementation, request, *drawn(request))
        return context.expected.statistics("value", context.actual["value"])["rms"]

    flash = find_implementation("torch-sdpa-flash")
    if reasons := flash.unsupported(Request(1, 1, 1, 2, 2, 4, 4, dtype="bfloat16")):
        pytest.skip(reasons[0])
    correct = simulated_backward(block=32)
    faulty = simulated_backward("d value summed in 16 bits", block=32)
    assert rms(correct, 128) < 1.05 < rms(faulty, 128)
    assert rms(flash, 32) < 1.05 < rms(flash, 128)


def test_table_gives_verdicts_and_reasons():
    wrong = replace(simulated_backward("d query negative"), name="wrong")
    none = find_implementation("torch-flex")
    right = replace(simulated_backward(), name="right", compiles=True)
    rows = [
        certified_row(replace(implementation, compiles=True), ["float32"])
        for implementation in (right, wrong, none)
    ]
    lines = gradients_table(rows, ["float32"]).splitlines()
    assert "pass" in lines[2]
    assert "FAIL" in lines[3]
    assert "(6 of 6)" in lines[3]
    assert "none" in lines[4]
    assert "6 cases" in rows[2].notes()[0]
    assert rows[0].failures() == []
    assert len(rows[1].failures()) == 6


def test_command_prints_verdicts_and_who_declares_none(capsys):
    assert main(["gradients", "--only", "torch-flex", "numpy-naive", "--dtype", "float32"]) == 0
    printed = capsys.readouterr().out
    assert f"it declares no gradients ({len(gradient_cases('float32'))} cases)" in printed
    assert "torch-flex, not judged:" in printed


def test_lengths_need_gradients():
    with pytest.raises(ValueError, match="declares no gradients"):
        lengths_table(find_implementation("numpy-naive"), "float32")
