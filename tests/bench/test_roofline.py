"""Arithmetic, bytes, limits and growth, by counts made on paper and by laws."""

from __future__ import annotations

import pytest

from attnpanel.kernels.request import Request
from bench.bench_run import Limits
from bench.datasheets import DATASHEETS, datasheet_in_words, datasheet_of
from bench.roofline import growth_exponent, least_seconds, measure_limits
from bench.work import flops, minimal_bytes, seen_pairs


def test_the_arithmetic_is_that_of_both_products():
    # B2 H3 T5 S7: 210 pairs, each 2 * 11 for its score and 2 * 13 for its part of the output.
    assert flops(Request(2, 3, 1, 5, 7, 11, 13)) == 2 * 3 * 5 * 7 * 2 * (11 + 13)


def test_a_causal_mask_halves_it_but_for_the_diagonal():
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
def test_the_pairs_are_those_of_the_mask(lengths, mask):
    queries, keys = lengths
    request = Request(1, 1, 1, queries, keys, 2, 2, **mask)
    visible = request.visible()

    expected = queries * keys if visible is None else int(visible.sum())
    assert seen_pairs(request, 0) == expected


def test_each_entry_of_a_batch_has_its_own_padding():
    request = Request(2, 1, 1, 5, 7, 2, 2, mask="key_padding", pad_lens=(3, 7))

    assert [seen_pairs(request, entry) for entry in (0, 1)] == [15, 35]


def test_a_length_that_no_machine_has_is_refused():
    with pytest.raises(ValueError, match="query_len must be at most 67108864; got 1000000000"):
        flops(Request(1, 1, 1, 10**9, 10**9, 2, 2, mask="causal"))


@pytest.mark.parametrize(("dtype", "size"), [("float64", 8), ("float32", 4), ("bfloat16", 2)])
def test_the_bytes_are_each_array_once(dtype, size):
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
def test_too_little_to_fit_is_no_growth(lengths, values):
    assert growth_exponent(lengths, values) is None


def test_the_limits_of_half_precision_are_no_lower_than_what_converting_would_give():
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
def test_a_gpu_has_the_figures_of_its_own_name(name, words):
    found = datasheet_of(name)

    assert (found and found.title) == words


def test_a_datasheet_is_found_again_by_the_words_a_run_keeps():
    assert DATASHEETS[0].words == (
        "H200 SXM datasheet: 989 TFLOP/s bfloat16 (dense), 67 TFLOP/s float32, 4.8 TB/s"
    )
    assert [datasheet_in_words(sheet.words) for sheet in DATASHEETS] == list(DATASHEETS)
    assert datasheet_in_words("H200 SXM datasheet: 1e9 TFLOP/s") is None
    assert datasheet_in_words(None) is None


def test_a_datasheets_floor_is_the_larger_of_arithmetic_and_memory():
    request = Request(1, 1, 1, 4096, 4096, 64, 64, "bfloat16", "cuda")
    few_keys = Request(1, 1, 1, 4096, 1, 64, 64, "bfloat16", "cuda")
    h200 = DATASHEETS[0]

    assert h200.least_seconds(request) == 2 * 4096**2 * 128 / 989e12
    assert h200.least_seconds(few_keys) == 2 * (4096 + 1) * 128 / 4.8e12
    assert h200.least_seconds(Request(1, 1, 1, 8, 8, 4, 4, "float64", "cuda")) is None
