"""Certificates: correct code passes, and each injected defect fails the expected checks."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.bench import certify
from attnpanel.bench.certify.cases import CERTIFICATE_CASES, Case
from attnpanel.bench.certify.checks_metadata import metadata_checks
from attnpanel.bench.certify.rounding import round_to
from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Request
from tests.unit.bench.certify.case_strategies import size
from tests.unit.bench.certify.fault_injection import make_attention, with_output

# B, H, Hkv, T, S, D, Dv: distinct primes, as far as heads allow.
NONE = Request(2, 3, 3, 5, 7, 11, 13)
CAUSAL = replace(NONE, mask="causal")
GROUPED = replace(NONE, heads=6)
PADDED = replace(NONE, mask="key_padding", pad_lens=(3, 0))
LONG = Request(1, 2, 2, 149, 541, 64, 64)


def failed(agreement):
    return {check.name for check in agreement.checks if check.verdict != "pass"}


def one_off(mask, row, key):
    mask = np.broadcast_to(mask, (5, 7)).copy()
    mask[row, key] ^= True
    return mask


# The kernel made here holds whole matrices: longer cases take it seconds each.
SHORT_CASES = [case for case in CERTIFICATE_CASES if size(case) <= 2**22]


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize("case", SHORT_CASES, ids=lambda case: case.name)
def test_correct_code_passes_or_declines(case):
    agreement = certify(make_attention(), case)

    expected = "unsupported" if case.request.dtype == "bfloat16" else "pass"
    assert (agreement.verdict, agreement.implementation, agreement.case, agreement.basis) == (
        expected,
        "made",
        case.name,
        "computed",
    )
    assert bool(agreement.reasons) == (expected == "unsupported")


DEFECTS = {
    "scale off by 1e-4": (make_attention(scale=1 + 1e-4), LONG, {"output"}),
    "scores rounded to float16": (
        make_attention(scores=lambda scores: scores.astype(np.float16).astype(np.float32)),
        LONG,
        {"output"},
    ),
    "one key dropped in one row": (
        make_attention(mask=lambda mask, _: one_off(mask, 3, 6)),
        NONE,
        {"output", "identity value"},
    ),
    "one leaked pair": (
        make_attention(mask=lambda mask, _: one_off(mask, 3, 4)),
        CAUSAL,
        {"output", "masked keys", "identity value"},
    ),
    "diagonal off by one": (
        make_attention(mask=lambda *_: np.tril(np.ones((5, 7), bool), 1)),
        CAUSAL,
        {"output", "masked keys", "identity value"},
    ),
    "masked fill of -20": (make_attention(fill=-20.0), CAUSAL, {"masked keys", "identity value"}),
    "wrong alignment": (
        make_attention(mask=lambda *_: np.tril(np.ones((5, 7), bool), 2)),
        CAUSAL,
        {"output", "masked keys", "identity value"},
    ),
    "swapped head order": (
        make_attention(heads=lambda array, groups: np.tile(array, (1, groups, 1, 1))),
        GROUPED,
        {"output", "identity value"},
    ),
    "temperature ignored": (
        make_attention(temperature=lambda _: 1.0),
        replace(NONE, temperature=0.5),
        {"output", "identity value"},
    ),
    "nan where the policy says zero": (
        make_attention(result=with_output(lambda output, _: np.where(output == 0, np.nan, output))),
        PADDED,
        {"empty rows"},
    ),
    "wrong output dtype": (
        make_attention(result=with_output(lambda output, _: output.astype(np.float64))),
        NONE,
        {"dtype"},
    ),
    "output of the wrong shape": (
        make_attention(result=with_output(lambda output, _: output.swapaxes(1, 2))),
        NONE,
        {"shape"},
    ),
    "weights promised and not returned": (
        replace(make_attention(returns=("output",)), returns=frozenset({"output", "weights"})),
        NONE,
        {"shape"},
    ),
    "no maximum subtracted": (
        make_attention(returns=("output",), result=lambda _, inputs: unshifted(inputs)),
        replace(NONE, scale=12.0),
        {"output", "shift", "identity value"},
    ),
    "log-sum-exp in bits": (
        make_attention(
            result=lambda raw, _: replace(raw, logsumexp=raw.logsumexp / np.float32(np.log(2)))
        ),
        NONE,
        {"logsumexp"},
    ),
    "weights that leak": (
        make_attention(result=lambda raw, _: replace(raw, weights=raw.weights + np.float32(1e-30))),
        CAUSAL,
        {"weights"},
    ),
    "weights of another temperature": (
        make_attention(result=lambda raw, _: replace(raw, weights=raw.weights**2)),
        NONE,
        {"weights"},
    ),
    "zeros where the policy says uniform": (
        make_attention(empty_rows="uniform"),
        PADDED,
        {"empty rows"},
    ),
    "zeros where the policy says nan": (make_attention(empty_rows="nan"), PADDED, {"empty rows"}),
    "another result each time": (
        make_attention(result=with_output(lambda output, _: output + np.float32(next(NOISE)))),
        NONE,
        {"determinism"},
    ),
    "an input written to": (
        make_attention(result=lambda raw, inputs: [raw, inputs.bias.fill(0)][0]),
        replace(NONE, bias=True),
        {"determinism"},
    ),
    # Within 8 units, but eight times the error of baseline attention.
    "float16 scores rounded to bfloat16": (
        replace(
            make_attention(scores=lambda scores: round_to(scores, "bfloat16"), returns=("output",)),
            scores_dtype="storage",
        ),
        replace(LONG, dtype="float16"),
        {"output"},
    ),
    "the place of a key matters": (
        make_attention(
            scores=lambda scores: scores + np.float32(1e-3) * np.arange(scores.shape[-1])
        ),
        NONE,
        {"output", "key order"},
    ),
}
NOISE = iter(np.arange(1, 100) * 1e-8)


def unshifted(inputs):
    with np.errstate(over="ignore", invalid="ignore"):
        weights = np.exp(12 * inputs.query @ inputs.key.swapaxes(-1, -2))
        output = weights / weights.sum(axis=-1, keepdims=True) @ inputs.value
    return RawResult(output)


def test_values_alone_cannot_distinguish_a_mask_from_a_penalty():
    agreement = certify(make_attention(fill=-20.0), Case(CAUSAL))

    assert "output" not in failed(agreement)
    # e^-20 is far below the output's rounding, and moves with the scores of the keys that count.
    assert failed(agreement) == {"masked keys", "shift", "identity value", "weights"}


def test_a_declined_request_is_unsupported_with_its_reason():
    agreement = certify(make_attention(), Case(replace(NONE, dtype="bfloat16")))

    assert (agreement.verdict, agreement.reasons) == ("unsupported", ("NumPy has no bfloat16",))
    assert agreement.checks == ()
    assert agreement.max_ratio is None


def test_an_exception_of_an_implementation_is_the_verdict_error():
    def prepare(inputs, request, *, threads):
        raise MemoryError("3 GB at once")

    agreement = certify(replace(make_attention(), prepare=prepare), Case(NONE))

    assert (agreement.verdict, agreement.reasons) == ("error", ("MemoryError: 3 GB at once",))


def test_an_exception_in_one_check_is_the_error_of_that_check():
    def shape(raw, inputs):
        if (inputs.value == 1).all():
            raise FloatingPointError("all alike")
        return raw

    agreement = certify(make_attention(result=shape), Case(NONE))

    assert (agreement.verdict, agreement.reasons) == (
        "error",
        ("identity value: FloatingPointError: all alike",),
    )


def test_a_failed_shape_ends_the_certificate():
    agreement = certify(DEFECTS["output of the wrong shape"][0], Case(NONE))

    assert [check.name for check in agreement.checks] == ["shape", "dtype", "device"]
    assert agreement.reasons == ("shape: output must have shape (2, 3, 5, 13); got (2, 5, 3, 13)",)


def test_the_statistics_locate_the_worst_error():
    # One element is wrong by 2, all others by rounding.
    def off(output, _):
        output = output.copy()
        output[1, 2, 3, 4] += 2
        return output

    agreement = certify(make_attention(result=with_output(off)), Case(NONE))

    assert agreement.worst == (1, 2, 3, 4)
    assert agreement.max_ratio > 1e5
    assert agreement.median_ratio < 1
    # To float32's rounding; the mean is over all 2 · 3 · 5 · 13 elements.
    np.testing.assert_allclose(agreement.max_abs_error, 2, rtol=1e-6)
    np.testing.assert_allclose(agreement.mean_signed_error, 2 / 390, rtol=1e-4)
    assert agreement.nonfinite_mismatches == 0


def test_with_a_nan_there_is_a_count_but_no_ratio():
    def off(output, _):
        output = output.copy()
        output[0, 1, 2, :3] = np.nan
        return output

    agreement = certify(make_attention(result=with_output(off)), Case(NONE))

    assert agreement.verdict == "fail"
    assert agreement.nonfinite_mismatches == 3
    assert agreement.max_ratio is None
    assert agreement.worst is None
    assert np.isfinite(agreement.max_abs_error)


def test_with_only_empty_rows_only_the_policy_is_checked():
    case = Case(replace(NONE, mask="key_padding", pad_lens=(0, 0)))

    agreement = certify(make_attention(), case)

    assert agreement.verdict == "pass"
    assert agreement.max_ratio is None


def test_without_the_device_only_shapes_are_certified():
    eager = find_implementation("torch-eager")
    request = replace(NONE, device="cuda")
    if not eager.unsupported(request):
        pytest.skip("there is a CUDA device here")

    agreement = certify(eager, Case(request))

    assert agreement.basis == "fake"


# Defects that do not affect the values of a case; only one invariant detects each.
HIDDEN_DEFECTS = {
    # Adding a constant to a row changes nothing, but this one depends on hidden keys.
    "a shift that depends on hidden keys": (
        lambda scores: scores + scores.max(axis=-1, keepdims=True),
        {"masked keys"},
    ),
    # The case's own scores stay below 4.
    "scores clipped at 6": (lambda scores: np.minimum(scores, np.float32(6)), {"shift"}),
}


@pytest.mark.parametrize("name", HIDDEN_DEFECTS)
def test_a_defect_without_effect_on_values_breaks_an_invariant(name):
    scores, expected = HIDDEN_DEFECTS[name]

    agreement = certify(make_attention(scores=scores, returns=("output",)), Case(CAUSAL))

    assert failed(agreement) == expected


def test_the_device_of_a_result_is_checked_without_its_values():
    import torch

    output = torch.empty(2, 3, 5, 13, device="meta")

    shape, dtype, device = metadata_checks(
        make_attention(returns=("output",)), NONE, RawResult(output)
    )

    assert (shape.verdict, dtype.verdict, device.verdict) == ("pass", "pass", "fail")
    assert device.detail == "output must be on cpu; got meta"


@pytest.mark.parametrize("name", DEFECTS)
def test_an_injected_defect_is_found(name):
    implementation, request, expected = DEFECTS[name]

    agreement = certify(implementation, Case(request))

    assert agreement.verdict == "fail"
    assert expected <= failed(agreement)
