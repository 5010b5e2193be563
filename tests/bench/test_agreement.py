"""The certificate: correct code gets it, and each planted defect is found as it should be."""

from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels.implementation import RawResult
from attnpanel.kernels.request import Request
from bench import certify
from bench.cases import CERTIFICATE_CASES, Case
from tests.bench.made_attention import made, with_output

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


@pytest.mark.parametrize("case", CERTIFICATE_CASES, ids=lambda case: case.name)
def test_correct_code_passes_or_declines(case):
    agreement = certify(made(), case)

    expected = "unsupported" if case.request.dtype == "bfloat16" else "pass"
    assert (agreement.verdict, agreement.implementation, agreement.case, agreement.basis) == (
        expected,
        "made",
        case.name,
        "computed",
    )
    assert bool(agreement.reasons) == (expected == "unsupported")


DEFECTS = {
    "scale off by 1e-4": (made(scale=1 + 1e-4), LONG, {"output"}),
    "scores rounded to float16": (
        made(scores=lambda scores: scores.astype(np.float16).astype(np.float32)),
        LONG,
        {"output"},
    ),
    "one key dropped in one row": (
        made(mask=lambda mask, _: one_off(mask, 3, 6)),
        NONE,
        {"output", "identity value"},
    ),
    "one leaked pair": (
        made(mask=lambda mask, _: one_off(mask, 3, 4)),
        CAUSAL,
        {"output", "masked keys", "identity value"},
    ),
    "diagonal off by one": (
        made(mask=lambda *_: np.tril(np.ones((5, 7), bool), 1)),
        CAUSAL,
        {"output", "masked keys", "identity value"},
    ),
    "masked fill of -20": (made(fill=-20.0), CAUSAL, {"masked keys", "identity value"}),
    "wrong alignment": (
        made(mask=lambda *_: np.tril(np.ones((5, 7), bool), 2)),
        CAUSAL,
        {"output", "masked keys", "identity value"},
    ),
    "swapped head order": (
        made(heads=lambda array, groups: np.tile(array, (1, groups, 1, 1))),
        GROUPED,
        {"output", "identity value"},
    ),
    "temperature ignored": (
        made(temperature=lambda _: 1.0),
        replace(NONE, temperature=0.5),
        {"output", "identity value"},
    ),
    "nan where the policy says zero": (
        made(result=with_output(lambda output, _: np.where(output == 0, np.nan, output))),
        PADDED,
        {"empty rows"},
    ),
    "wrong output dtype": (
        made(result=with_output(lambda output, _: output.astype(np.float64))),
        NONE,
        {"dtype"},
    ),
    # Beyond those.
    "output of the wrong shape": (
        made(result=with_output(lambda output, _: output.swapaxes(1, 2))),
        NONE,
        {"shape"},
    ),
    "weights promised and not returned": (
        replace(made(returns=("output",)), returns=frozenset({"output", "weights"})),
        NONE,
        {"shape"},
    ),
    "no maximum subtracted": (
        made(returns=("output",), result=lambda _, inputs: unshifted(inputs)),
        replace(NONE, scale=12.0),
        {"output", "shift", "identity value"},
    ),
    "log-sum-exp in bits": (
        made(result=lambda raw, _: replace(raw, logsumexp=raw.logsumexp / np.float32(np.log(2)))),
        NONE,
        {"logsumexp"},
    ),
    "weights that leak": (
        made(result=lambda raw, _: replace(raw, weights=raw.weights + np.float32(1e-30))),
        CAUSAL,
        {"weights"},
    ),
    "weights of another temperature": (
        made(result=lambda raw, _: replace(raw, weights=raw.weights**2)),
        NONE,
        {"weights"},
    ),
    "zeros where the policy says uniform": (made(empty_rows="uniform"), PADDED, {"empty rows"}),
    "zeros where the policy says nan": (made(empty_rows="nan"), PADDED, {"empty rows"}),
    "another result each time": (
        made(result=with_output(lambda output, _: output + np.float32(next(NOISE)))),
        NONE,
        {"determinism"},
    ),
    "an input written to": (
        made(result=lambda raw, inputs: [raw, inputs.bias.fill(0)][0]),
        replace(NONE, bias=True),
        {"determinism"},
    ),
    "the place of a key matters": (
        made(scores=lambda scores: scores + np.float32(1e-3) * np.arange(scores.shape[-1])),
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


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found(name):
    implementation, request, expected = DEFECTS[name]

    agreement = certify(implementation, Case(request))

    assert agreement.verdict == "fail"
    assert expected <= failed(agreement)
