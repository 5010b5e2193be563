"""Covering arrays: every pair of levels occurs, in few rows, the same ones each time."""

from itertools import combinations, product

from attnpanel.bench.certify.covering import covering_array

FACTORS = {"T": (1, 63, 64, 65), "S": (128, 129, 640), "D": (64, 80), "mask": ("none", "causal")}


def test_every_pair_of_levels_occurs():
    rows = covering_array(FACTORS)

    for first, second in combinations(FACTORS, 2):
        met = {(row[first], row[second]) for row in rows}
        assert met == set(product(FACTORS[first], FACTORS[second]))


def test_rows_are_few_and_reproducible():
    rows = covering_array(FACTORS)

    # At least 4 · 3 for T and S; all combinations are 48.
    assert 12 <= len(rows) <= 16
    assert rows == covering_array(FACTORS)
    assert rows != covering_array(FACTORS, seed=1)
