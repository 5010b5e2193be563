"""Components of the difference of two heads' scores, against what the definition demands."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.comparison import ScoreContrast, align, score_contrast

RNG = np.random.default_rng(3)
# "abcde" against "abxdyze": y and z are in the second only, x stands in c's place.
PAIRS = align("abcde", "abxdyze")
ROUNDING = 1e-12  # float64, values below 10


def scores_of(tokens: int) -> np.ndarray:
    return RNG.normal(size=(tokens, 7)) @ RNG.normal(size=(7, tokens))


def parts_of(contrast: ScoreContrast) -> np.ndarray:
    vectors = contrast.query_vectors, contrast.key_vectors
    return np.einsum("r,ri,rj->rij", contrast.sizes, *vectors)


def test_components_sum_to_the_centred_difference_of_q_times_k():
    first, second = scores_of(5), scores_of(7)
    second[1, 3] = -np.inf  # b may not see d
    contrast = score_contrast(first, second, PAIRS, PAIRS)
    assert contrast.queries == ((0, 0), (1, 1), (2, 2), (3, 3), (4, 6))
    kept = second[np.ix_([0, 1, 2, 3, 6], [0, 1, 2, 3, 6])]
    wanted = np.zeros((5, 5))
    for i in range(5):
        seen = [j for j in range(5) if np.isfinite(kept[i, j])]
        for scores, sign in ((kept, 1), (first, -1)):
            wanted[i, seen] += sign * (scores[i, seen] - scores[i, seen].mean())
    parts = parts_of(contrast)
    np.testing.assert_allclose(parts.sum(axis=0), wanted, atol=ROUNDING)
    np.testing.assert_allclose(contrast.shares.sum(), 1, atol=ROUNDING)
    np.testing.assert_allclose(
        (parts**2).sum(axis=(1, 2)) / (wanted**2).sum(), contrast.shares, atol=ROUNDING
    )


def test_loadings_of_both_sides_differ_by_what_the_component_moves():
    contrast = score_contrast(scores_of(5), scores_of(7), PAIRS, PAIRS)
    for at, part in enumerate(parts_of(contrast)):
        queries, keys = (
            side[1, at] - side[0, at] for side in (contrast.query_loadings, contrast.key_loadings)
        )
        assert queries[np.abs(queries).argmax()] >= 0
        np.testing.assert_allclose(
            np.outer(queries, keys), part * contrast.sizes[at], atol=ROUNDING * 100
        )


def test_one_direction_that_differs_is_one_component():
    tokens = align("abcd", "abcd")
    queries, keys = RNG.normal(size=(4, 11)), RNG.normal(size=(4, 11))
    moved = queries.copy()
    moved[2] += RNG.normal(size=11)  # one word exchanged, as a query
    contrast = score_contrast(queries @ keys.T, moved @ keys.T, tokens, tokens)
    np.testing.assert_allclose(contrast.shares, [1, 0, 0, 0], atol=ROUNDING)
    moves = contrast.query_loadings[1, 0] - contrast.query_loadings[0, 0]
    np.testing.assert_allclose(moves, [0, 0, contrast.sizes[0], 0], atol=ROUNDING)


def test_a_constant_added_to_a_row_is_no_difference():
    tokens, scores = align("abcde", "abcde"), scores_of(5)
    contrast = score_contrast(scores, scores + RNG.normal(size=(5, 1)), tokens, tokens)
    np.testing.assert_allclose(contrast.difference, 0, atol=ROUNDING)
    same = score_contrast(scores, scores, tokens, tokens)
    np.testing.assert_array_equal(same.shares, np.zeros(5))


def test_sides_without_a_common_token_are_refused():
    with pytest.raises(ValueError, match="got 0 queries and 1 keys"):
        score_contrast(np.ones((1, 1)), np.ones((1, 1)), ((0, None), (None, 0)), ((0, 0),))
