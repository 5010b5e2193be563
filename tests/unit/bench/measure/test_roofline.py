"""Operations, bytes, limits and growth, compared with counts by hand and with laws."""

from __future__ import annotations

from dataclasses import replace

import pytest

from attnpanel.bench.measure import roofline
from attnpanel.bench.measure.datasheets import DATASHEETS, datasheet_in_words, datasheet_of
from attnpanel.bench.measure.flop_count import flops, minimal_bytes, seen_pairs
from attnpanel.bench.measure.roofline import (
    growth_exponent,
    least_seconds,
    measure_limits,
    merge_limits,
    share_of_limit,
)
from attnpanel.bench.run.records import Limits, MemoryRate, Timing
from attnpanel.kernels.request import Request


def test_the_arithmetic_is_that_of_both_products():
    # B2 H3 T5 S7: 210 pairs, each 2 * 11 for its score and 2 * 13 for its part of the output.
    assert flops(Request(2, 3, 1, 5, 7, 11, 13)) == 2 * 3 * 5 * 7 * 2 * (11 + 13)


def test_a_causal_mask_halves_the_operations_except_on_the_diagonal():
    # 1 + 2 + … + 5 = 15 pairs.
    assert flops(Request(1, 1, 1, 5, 5, 2, 2, mask="causal")) == 15 * 8


MASKED = [
    {"mask": "none"},
    {"mask": "causal"},
    {"mask": "causal", "align": "bottom_right"},
    {"mask": "window", "window": 2},
    {"mask": "window", "window": 30},
    {"mask": "window", "window": 3, "align": "bottom_right"},
    {"mask": "padding", "pad_lens": (3,)},
    {"mask": "padding", "pad_lens": (0,)},
    {"mask": "key_padding", "pad_lens": (4,)},
]


@pytest.mark.parametrize("lengths", [(5, 5), (5, 11), (11, 5), (1, 7)])
@pytest.mark.parametrize("mask", MASKED, ids=str)
def test_visible_pairs_equal_the_sum_of_the_mask(lengths, mask):
    queries, keys = lengths
    request = Request(1, 1, 1, queries, keys, 2, 2, **mask)
    visible = request.visible()

    expected = queries * keys if visible is None else int(visible.sum())
    assert seen_pairs(request, 0) == expected


def test_each_entry_of_a_batch_has_its_own_padding():
    request = Request(2, 1, 1, 5, 7, 2, 2, mask="key_padding", pad_lens=(3, 7))

    assert [seen_pairs(request, entry) for entry in (0, 1)] == [15, 35]


def test_a_length_above_the_limit_is_refused():
    with pytest.raises(ValueError, match="query_len must be at most 67108864; got 1000000000"):
        flops(Request(1, 1, 1, 10**9, 10**9, 2, 2, mask="causal"))


@pytest.mark.parametrize(("dtype", "size"), [("float64", 8), ("float32", 4), ("bfloat16", 2)])
def test_minimal_bytes_count_each_array_once(dtype, size):
    # Q 2·3·5·11, K 2·1·7·11, V 2·1·7·13, output 2·3·5·13.
    elements = 330 + 154 + 182 + 390

    assert minimal_bytes(Request(2, 3, 1, 5, 7, 11, 13, dtype)) == size * elements


def test_a_bias_is_read_once():
    without = minimal_bytes(Request(2, 3, 1, 5, 7, 11, 13))

    assert minimal_bytes(Request(2, 3, 1, 5, 7, 11, 13, bias=True)) == without + 4 * 3 * 5 * 7


def test_the_limit_is_arithmetic_or_memory_whichever_takes_longer():
    request = Request(1, 1, 1, 5, 5, 2, 2)  # 200 operations, 160 bytes
    slow_memory = Limits("cpu", "float32", 1, (100.0, 200.0), (8.0, 16.0))
    slow_products = Limits("cpu", "float32", 1, (10.0, 20.0), (8000.0, 16000.0))

    assert least_seconds(request, slow_memory) == 10.0
    assert least_seconds(request, slow_products) == 10.0


def test_growth_is_the_power_of_the_length():
    lengths = [64, 128, 256]

    assert growth_exponent(lengths, [3 * n**2 for n in lengths]) == pytest.approx(2, rel=1e-12)
    assert growth_exponent(lengths, [0.5, 0.5, 0.5]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("lengths", "values"), [([64, 128], [1.0, 2.0]), ([64] * 3, [1.0] * 3), ([1, 2, 3], [0, 1, 2])]
)
def test_too_few_points_have_no_growth(lengths, values):
    assert growth_exponent(lengths, values) is None


@pytest.mark.slow
def test_half_precision_limits_are_at_least_those_of_converting(monkeypatch):
    monkeypatch.setattr(roofline, "CPU_SIZES", (32, 64))
    monkeypatch.setattr(roofline, "STEP_BYTES", (2**12, 2**16))
    # This is true of any machine: an implementation may always convert to float32.
    limits = measure_limits("cpu", "bfloat16", threads=1)

    assert (limits.dtype, limits.threads, limits.datasheet) == ("bfloat16", 1, None)
    assert len(limits.gemm_flops_per_s) == len(limits.copy_bytes_per_s) == 5
    assert min(*limits.gemm_flops_per_s, *limits.copy_bytes_per_s) > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA L40S", None),
        ("NVIDIA GH200 480GB", None),
        ("Tesla T4", "T4"),
    ],
)
def test_a_gpu_has_the_datasheet_of_its_name(name, words):
    found = datasheet_of(name)

    assert (found and found.title) == words


def test_a_datasheet_is_found_by_the_text_stored_in_a_run():
    assert DATASHEETS[0].words == (
        "H200 SXM datasheet: 989 TFLOP/s bfloat16 (dense), 67 TFLOP/s float32, 4.8 TB/s"
    )
    assert [datasheet_in_words(sheet.words) for sheet in DATASHEETS] == list(DATASHEETS)
    assert datasheet_in_words("H200 SXM datasheet: 1e9 TFLOP/s") is None
    assert datasheet_in_words(None) is None


def test_the_datasheet_limit_is_the_larger_of_arithmetic_and_memory_time():
    request = Request(1, 1, 1, 4096, 4096, 64, 64, "bfloat16", "cuda")
    few_keys = Request(1, 1, 1, 4096, 1, 64, 64, "bfloat16", "cuda")
    h200 = DATASHEETS[0]

    assert h200.least_seconds(request) == 2 * 4096**2 * 128 / 989e12
    assert h200.least_seconds(few_keys) == 2 * (4096 + 1) * 128 / 4.8e12
    assert h200.least_seconds(Request(1, 1, 1, 8, 8, 4, 4, "float64", "cuda")) is None


def test_small_inputs_move_at_the_rate_of_the_cache_that_holds_them():
    steps = tuple(
        MemoryRate(size, rate, None) for size, rate in ((100, 8.0), (150, 9.0), (800, 2.0))
    )
    limits = Limits("cpu", "float32", 1, (1e9,), (2.0,), steps=steps)

    # 160 bytes: the rate of the next smaller size, or of a larger one if that is higher.
    assert least_seconds(Request(1, 1, 1, 5, 5, 2, 2), limits) == 160 / 9
    assert least_seconds(Request(1, 1, 1, 25, 25, 2, 2), limits) == 800 / 2


def test_a_share_of_the_limit_is_relative_to_the_workload_beside_both():
    request = Request(1, 1, 1, 5, 5, 2, 2)  # 200 operations
    steps = (MemoryRate(1, 1e9, 1e9),)
    limits = Limits("cpu", "float32", 1, (100.0,), (1e9,), gemm_yardstick_s=(1.0,), steps=steps)
    row = Timing("a", "b", 1, "timed", wall_s=(4.0,), cpu_s=(4.0,), rounds=(0,))

    assert share_of_limit(request, limits, row) == pytest.approx(0.5)
    # On cores that are twice as slow meanwhile, 4 s are as good as 2 s.
    assert share_of_limit(request, limits, replace(row, yardstick_s=(2.0,))) == pytest.approx(1.0)


def test_limits_of_two_measurements_are_merged():
    first = Limits("cpu", "float32", 1, (1.0,), (2.0,), None, (3.0,), (MemoryRate(8, 1.0, 5.0),))
    second = Limits("cpu", "float32", 1, (4.0,), (5.0,), None, (6.0,), (MemoryRate(8, 2.0, 4.0),))

    found = merge_limits(first, second)

    assert (found.gemm_flops_per_s, found.gemm_yardstick_s) == ((1.0, 4.0), (3.0, 6.0))
    assert found.steps == (MemoryRate(8, 2.0, 5.0),)
