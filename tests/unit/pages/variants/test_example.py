"""The example of the cards: the toy's arrays in each layout of heads."""

from __future__ import annotations

import numpy as np

from attnpanel.models.toy import make_toy_data
from attnpanel.pages.variants.example import LATENT, example_for_page, example_layouts


def test_multi_head_is_the_toy_itself():
    layouts = example_layouts()
    for part, array in zip(("query", "key", "value"), make_toy_data(), strict=True):
        np.testing.assert_array_equal(layouts["multi"][part], array)


def test_shared_heads_are_means_of_their_group():
    layouts = example_layouts()
    _, key, value = make_toy_data()

    np.testing.assert_allclose(layouts["grouped"]["key"][1], (key[2] + key[3]) / 2, rtol=1e-15)
    np.testing.assert_allclose(layouts["grouped"]["value"][0], (value[0] + value[1]) / 2)
    np.testing.assert_allclose(layouts["single"]["key"][0], key.mean(axis=0))
    assert [len(layouts[name]["key"]) for name in ("grouped", "single")] == [2, 1]


def test_latent_vectors_are_the_best_of_their_rank():
    latent = example_layouts()["latent"]
    _, key, value = make_toy_data()
    joined = np.concatenate([key, value]).transpose(1, 0, 2).reshape(8, -1)
    rebuilt = np.concatenate([latent["key"], latent["value"]]).transpose(1, 0, 2).reshape(8, -1)

    # Eckart and Young, 1936: what no approximation of that rank can be nearer than.
    least = np.sqrt((np.linalg.svd(joined, compute_uv=False)[LATENT:] ** 2).sum())
    np.testing.assert_allclose(np.linalg.norm(rebuilt - joined), least, rtol=1e-12)
    assert np.linalg.matrix_rank(rebuilt) == LATENT
    np.testing.assert_allclose(latent["latent"] @ latent["up"], rebuilt, atol=1e-12)


def test_the_page_gets_every_array_row_by_row():
    example = example_for_page()
    for name, arrays in example_layouts().items():
        given = example["layouts"][name]
        assert given["kvHeads"] == len(arrays["key"])
        for part in ("query", "key", "value"):
            np.testing.assert_array_equal(given[part], arrays[part].ravel())
