"""The offline bench's formulas against Python's, and planted defects that its certificate finds."""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from attnpanel.attention.mask_table import masks_for_page
from attnpanel.bench.certify.cases import BLOCKS, GROUPED, SQUARE, Case
from attnpanel.bench.certify.checks_numeric import _weight_unit
from attnpanel.bench.certify.context import CertificateContext
from attnpanel.bench.certify.judgement import error_unit, judge
from attnpanel.bench.certify.reference import reference, reference_weights
from attnpanel.bench.certify.rounding import round_to
from attnpanel.bench.certify.sixteen_bit_statistics import head_statistics
from attnpanel.bench.certify.sixteen_bits import RoundingPlaces
from attnpanel.bench.measure.roofline import share_of_limit
from attnpanel.bench.offline.cases import certified_cases, listed
from attnpanel.bench.offline.shared_inputs import inputs_digest, shared_inputs
from attnpanel.bench.run.records import Limits, MemoryRate, Timing
from attnpanel.bench.run.refusals import tolerance_of
from attnpanel.kernels.request import Request
from attnpanel.kernels.wgpu_online import WGPU_ONLINE, pack_mask, shader
from tests.browser_kernel.conftest import node_running

MASKS = masks_for_page()
CASES = certified_cases("webgpu")  # those of the CPU, and of float16
STORED_ONCE = RoundingPlaces(weights=False)
SMALL = [
    Case(replace(GROUPED, mask="causal", bias=True, temperature=0.5), "outlier"),
    Case(replace(SQUARE, mask="key_padding", pad_lens=(3, 0)), "peaked"),
    Case(replace(GROUPED, dtype="float16", mask="padding", pad_lens=(2, 4), scale=-0.7), "large"),
    Case(Request(1, 2, 1, 97, 130, 16, 24, dtype="float16", mask="window", window=9)),
]


@pytest.fixture(scope="module")
def bench():
    with node_running(Path(__file__).with_name("offline_bench.mjs")) as running:
        yield running


def as_page(case):
    (found,) = listed([case])
    return found


def name_of(case):
    return case.name


def test_both_draw_the_same_inputs_of_every_case(bench):
    for case in CASES:
        found = bench("digestOf", asdict(case), MASKS)
        assert found == inputs_digest(shared_inputs(case)), case.name
    inputs = shared_inputs(SMALL[1])
    found = bench("makeInputs", asdict(SMALL[1]), MASKS)
    np.testing.assert_array_equal(found["query"], inputs.query.ravel())
    np.testing.assert_array_equal(found["mask"].reshape(inputs.mask.shape), inputs.mask)


def test_float16_rounds_as_numpy_does(bench):
    rng = np.random.default_rng(0)
    scales = 2.0 ** rng.integers(-30, 18, 3000)
    numbers = np.concatenate(
        [
            rng.standard_normal(3000) * scales,
            [0.0, -0.0, 65519.9, 65520, -65520, 2.0**-25, 2049, 2051],
        ]
    )
    with np.errstate(over="ignore"):
        right = numbers.astype(np.float16)

    found = bench("roundTo", numbers, "float16")

    np.testing.assert_array_equal(found, right.astype(np.float32))
    np.testing.assert_array_equal(bench("halfBits", found), right.view(np.uint16))


@pytest.mark.parametrize("case", SMALL, ids=name_of)
def test_reference_units_and_statistics_are_pythons(bench, case):
    request, inputs = case.request, shared_inputs(case)
    places = STORED_ONCE if request.dtype == "float16" else None
    right = reference(request, inputs)
    rng = np.random.default_rng(1)
    # Errors of some units, so that every statistic has something to say.
    unit = error_unit(request, inputs, right, places)
    output = round_to(right.output + 9 * unit * rng.standard_normal(unit.shape), request.dtype)
    expected = judge(request, inputs, output.astype(float), right, places=places)

    found = bench("judged", asdict(case), MASKS, output.astype(np.float32).ravel())

    close = {"rtol": 1e-9, "atol": 1e-300}
    reached = found["expected"]
    for name, array in (
        ("output", right.output),
        ("magnitude", right.magnitude),
        ("valueSum", right.value_sum),
        ("logsumexp", right.logsumexp),
    ):
        np.testing.assert_allclose(reached[name], array.ravel(), rtol=1e-9, atol=1e-12)
    seeing = np.broadcast_to(~right.empty[..., None], unit.shape).ravel()
    np.testing.assert_allclose(found["unit"][seeing], unit.ravel()[seeing], **close)
    np.testing.assert_allclose(found["ratio"], expected.ratio.max(), rtol=1e-6)
    weights = np.stack(
        [
            reference_weights(request, inputs, b, h)
            for b, h in np.ndindex(request.batch, request.heads)
        ]
    )
    np.testing.assert_allclose(reached["weights"], weights.ravel(), rtol=1e-9, atol=1e-14)
    if places is not None:
        statistics = head_statistics(request, inputs, output.astype(float), places, (0, 0))
        assert found["statistics"] == pytest.approx(statistics, rel=1e-6)
    mine, pythons = (
        {text.split(" pass")[0].split("got")[0] for text in failures}
        for failures in (found["failures"], expected.failures)
    )
    assert mine == pythons


@pytest.mark.parametrize("case", SMALL, ids=name_of)
def test_units_of_weights_are_pythons(bench, case):
    request, inputs = case.request, shared_inputs(case)
    output = np.zeros((request.batch, request.heads, request.query_len, request.value_dim))
    context = CertificateContext(
        replace(WGPU_ONLINE, weights_dtype="float32"),
        case,
        1,
        inputs,
        None,
        None,
        {"output": output},
        reference(request, inputs),
    )
    keys = np.arange(request.key_len)

    found = bench("judged", asdict(case), MASKS, output.ravel().astype(np.float32))["weightUnit"]

    for at, (b, h) in enumerate(np.ndindex(request.batch, request.heads)):
        weights = reference_weights(request, inputs, b, h)
        unit = _weight_unit(context, weights, (b, h), keys)
        mine = found.reshape(-1, *unit.shape)[at]
        seeing = context.nonempty_rows[b, h, :, 0]
        np.testing.assert_allclose(mine[seeing], unit[seeing], rtol=1e-6)


def test_rows_alone_have_the_reference_of_the_whole(bench):
    some, whole = bench("referenceOfRows", asdict(SMALL[0]), MASKS, 7, [4, 0, 4])

    np.testing.assert_array_equal(some, whole)


# The last has tiles of eight keys.
@pytest.mark.parametrize("case", [*SMALL, Case(Request(1, 2, 2, 3, 5, 256, 250))], ids=name_of)
def test_the_shader_and_its_masks_are_those_of_python(bench, case):
    request = case.request
    mask = request.visible()
    packed = pack_mask(mask, request.query_len, request.key_len)
    flat = None if mask is None else mask.astype(np.uint8).ravel()

    found = bench("packMask", flat, request.query_len, request.key_len)

    np.testing.assert_array_equal(found["words"], packed.words)
    np.testing.assert_array_equal(found["ranges"], packed.ranges.ravel())
    assert found["strides"] == list(packed.strides)
    assert found["rangeStrides"] == list(packed.range_strides)
    text = shader(request, packed.strides, packed.range_strides, mask is not None)
    template = Path("attnpanel/kernels/attention.wgsl").read_text(encoding="utf-8")
    filled = bench("fillShader", template, asdict(request), found, mask is not None)
    # Python writes an exponent with two digits.
    assert re.sub(r"(f32 = .*e[+-])(\d);", r"\g<1>0\2;", filled).rstrip("\n") == text


def test_the_limits_share_and_its_tolerance_are_pythons(bench):
    request = Request(1, 8, 8, 256, 256, 64, 64)
    rates = (MemoryRate(2**16, 5e9, None), MemoryRate(2**22, 2e9, None))
    limits = Limits("cpu", "float32", 1, (3e9, 2e9, 2.5e9), (1e9,), steps=rates)
    wall = (0.05, 0.045, 0.0525, 0.07)
    timing = Timing(
        "javascript", "x", 1, "timed", clock="browser", wall_s=wall, rounds=tuple(range(4))
    )
    page = as_page(Case(request))

    least = bench("leastSeconds", page, asdict(limits))

    assert least / np.median(wall) == pytest.approx(share_of_limit(request, limits, timing))
    assert bench("toleranceOf", asdict(limits), list(wall)) == pytest.approx(
        tolerance_of(limits, timing)
    )


CAUSAL = Case(replace(SQUARE, mask="causal"))
PADDED = Case(replace(SQUARE, mask="key_padding", pad_lens=(3, 0)))
GROUPS = Case(replace(GROUPED, mask="causal", bias=True))
HALF = Case(Request(1, 1, 1, 64, 300, 32, 32, dtype="float16"))


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in ("javascript", "javascript-wasm") for case in (PADDED, GROUPS)]
    + [("float16", HALF), ("float16", Case(replace(SQUARE, dtype="float16", mask="causal")))],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_correct_code_is_certified(bench, name, case):
    found = bench("certificate", name, as_page(case), MASKS)

    assert (found["verdict"], found["reasons"]) == ("pass", [])
    assert {"key order", "repeated calls"} < {check["name"] for check in found["checks"]}
    assert 0 <= found["max_ratio"] < 4


@pytest.mark.thorough(every=4)
@pytest.mark.parametrize(
    ("defect", "case", "check"),
    [
        ("wrong scale", Case(BLOCKS), "output"),
        ("missing mask", CAUSAL, "output"),
        ("mask as a penalty", CAUSAL, "masked keys"),
        ("heads of another group", GROUPS, "output"),
        ("stale output", CAUSAL, "changed inputs"),
        ("results in one buffer", CAUSAL, "changed inputs"),
        ("not finite", CAUSAL, "output"),
        ("written inputs", CAUSAL, "determinism"),
        ("another result each time", CAUSAL, "repeated calls"),
        ("leaks undeclared", PADDED, "hidden contents"),
        ("wrong logsumexp", CAUSAL, "logsumexp"),
        ("nan in empty rows", PADDED, "empty rows"),
        ("one row too few", CAUSAL, "shape"),
        ("float16 sums", HALF, "output"),
        ("float16 truncated", HALF, "output"),
        ("float16 too large", HALF, "output"),
    ],
)
def test_a_planted_defect_fails_the_certificate(bench, defect, case, check):
    found = bench("certificate", defect, as_page(case), MASKS)

    assert found["verdict"] == "fail"
    failed = [one["name"] for one in found["checks"] if one["verdict"] == "fail"]
    assert check in failed, found["reasons"]


def test_a_reference_that_is_not_pythons_is_found(bench):
    wrong = as_page(CAUSAL)
    wrong["samples"][3][1] += 1e-6

    with pytest.raises(Exception, match="reference computed here differs from Python's"):
        bench("certificate", "javascript", wrong, MASKS)
    with pytest.raises(Exception, match="inputs drawn here differ"):
        bench("certificate", "javascript", {**as_page(CAUSAL), "digest": 1}, MASKS)


@pytest.mark.parametrize(
    ("name", "rate", "step", "status", "reason"),
    [
        ("javascript", 1e15, 1e-7, "timed", ""),
        ("stale output", 1e15, 1e-7, "refused", "the result of a timed call must be right"),
        ("wrong output", 1e15, 1e-7, "refused", "units of rounding error pass"),
        ("wrong logsumexp", 1e15, 1e-7, "refused", "logsumexp: up to 8 units"),
        ("javascript", 1e4, 1e-7, "refused", "must be within .* of the device's limit"),
        ("javascript", 1e15, 1e3, "refused", "a sample must last 20 steps of the clock"),
    ],
)
def test_a_time_is_of_right_results_and_possible(bench, name, rate, step, status, reason):
    limits = asdict(Limits("cpu", "float32", 1, (rate,), (1e15,)))

    found = bench("timedRow", name, as_page(CAUSAL), MASKS, limits, step)

    assert found["status"] == status, found["reasons"]
    assert re.search(reason, " ".join(found["reasons"]))
    assert bool(found["wall_s"]) == (status == "timed")
    assert found["clock"] == "browser"
