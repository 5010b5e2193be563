"""Arrays of distinct sizes, so that a swapped axis can't hide."""

import numpy as np

# Distinct primes, so that a swapped axis cannot hide.
B, H, T, S, D, DV = 2, 3, 5, 7, 11, 13


def draws(*shapes, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def call_arrays(dtype=np.float64):
    return draws((B, H, T, D), (B, H, S, D), (B, H, S, DV), dtype=dtype)
