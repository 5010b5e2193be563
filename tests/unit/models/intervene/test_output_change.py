"""Changes of a model's output, calculated by hand."""

from __future__ import annotations

import numpy as np

from attnpanel.models.intervene.output_change import embedding_change, prediction_change


def test_embeddings_move_by_the_cosine_of_their_angle_and_so_does_their_mean():
    before = np.array([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    after = np.array([[3.0, 0.0], [0.0, -2.0], [1.0, 0.0]])

    change = embedding_change(before, after)

    # Angles 0, 180 and 45 degrees; the means are (4, 3) / 3 and (4, -2) / 3.
    np.testing.assert_allclose(change.moved, [0, 2, 1 - np.sqrt(0.5)], atol=1e-15)
    np.testing.assert_allclose(change.whole, 1 - (16 - 6) / (5 * np.sqrt(20)), atol=1e-15)


def test_a_state_of_no_length_is_as_far_as_any():
    assert embedding_change(np.zeros((1, 2)), np.ones((1, 2))).moved.tolist() == [1.0]


def test_predictions_move_by_the_probability_that_goes_elsewhere():
    before = np.log([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    after = np.log([[0.25, 0.3, 0.45], [0.2, 0.2, 0.6]]) + 7  # a constant changes no probability

    change = prediction_change(before, after, name="abc".__getitem__)

    np.testing.assert_allclose(change.moved, [0.25, 0], atol=1e-15)
    np.testing.assert_allclose(change.whole, 0.25, atol=1e-15)
    named = [
        (item.token, round(item.before, 9), round(item.after, 9)) for item in change.candidates[0]
    ]
    assert named == [("a", 0.5, 0.25), ("b", 0.3, 0.3), ("c", 0.2, 0.45)]


def test_only_the_likeliest_of_either_run_are_named():
    before, after = np.zeros((1, 50)), np.zeros((1, 50))
    before[0, 3], after[0, 41] = 5, 5

    (named,) = prediction_change(before, after, name=str).candidates

    assert len(named) == 6
    assert {"3", "41"} < {item.token for item in named}
