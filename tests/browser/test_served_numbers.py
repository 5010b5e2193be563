"""The numbers in the browser are NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel import toy_trace
from tests.browser.acting import choose, open_trace
from tests.browser.reading import matrix, sentence, source
from tests.browser.reckoned import Reckoned, hexadecimal, mask_of, paints, reckon

pytestmark = pytest.mark.thorough

pytest_plugins = ["tests.browser.opened"]

CALL = toy_trace().calls[0]
START = {"Mean_of_heads": False, "Colour_scale": "√, 0–1", "Paint_seed": 0}
# float32 numbers of the size of 10: its resolution is 1e-6 of them.
CLOSE = {"rtol": 1e-6, "atol": 1e-6, "equal_nan": True}
# What to choose, and what that means to NumPy. Temperatures are steps of 0.05 in the exponent.
MASKS = {
    "none": ({}, {}),
    "causal": ({}, {}),
    "window": ({"Window": 2}, {"window": 2}),
    "key padding": ({"Pad_length": 3}, {"pad_len": 3}),
    "padding": ({"Pad_length": 5, "Empty_rows": "uniform"}, {"pad_len": 5}),
}


@pytest.mark.parametrize("kind", MASKS)
def test_scores_weights_and_output_are_numpys_under_any_mask(toy, kind):
    choices, options = MASKS[kind]
    mask = mask_of(CALL, kind.replace(" ", "_"), **options)
    choose(toy, **START, Mask=kind, **choices)
    for head, step in ((0, 0), (3, -7), (2, 10)):
        choose(toy, Head=head, Temperature=step)

        expected = reckon(
            CALL, head, mask=mask, temperature=10 ** (0.05 * step), empty_rows="uniform"
        )
        assert_heatmaps_show(toy, expected)


def test_the_mean_over_heads_is_the_mean_of_their_scores_weights_and_outputs(toy):
    choose(toy, **START | {"Mean_of_heads": True}, Mask="causal", Temperature=4)

    expected = reckon(CALL, None, mask=mask_of(CALL, "causal"), temperature=10**0.2)
    assert_heatmaps_show(toy, expected)
    np.testing.assert_allclose(expected.weights.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("policy", ["zero", "uniform", "nan"])
def test_an_empty_row_is_filled_as_the_policy_says(toy, policy):
    choose(toy, **START, Head=1, Temperature=0, Mask="padding", Pad_length=4, Token=6)
    choose(toy, Empty_rows=policy)

    expected = reckon(CALL, 1, mask=mask_of(CALL, "padding", pad_len=4), empty_rows=policy)
    assert_heatmaps_show(toy, expected)
    fill = {"zero": 0, "uniform": 1 / 8, "nan": np.nan}[policy]
    np.testing.assert_allclose(source(toy, "attn:row")["weight"], np.full(8, fill), rtol=1e-6)
    assert "empty row" in sentence(toy)
    assert f"“{policy}”" in sentence(toy)


@pytest.mark.parametrize("head", [1, None])
def test_the_row_the_swatches_and_their_mix_are_numpys(toy, head):
    choose(toy, **START | {"Paint_seed": 5}, Mask="causal", Temperature=6, Token=5)
    choose(toy, **({"Mean_of_heads": True} if head is None else {"Head": head}))

    expected = reckon(CALL, head, mask=mask_of(CALL, "causal"), temperature=10**0.3)
    weights, colours = expected.weights[5], paints(CALL, head, seed=5)
    row, swatches, mixed = (source(toy, f"attn:{name}") for name in ("row", "swatches", "mixed"))
    np.testing.assert_allclose(row["weight"], weights, **CLOSE)
    np.testing.assert_allclose(row["top"], weights, **CLOSE)
    np.testing.assert_allclose(swatches["weight"], weights, **CLOSE)
    assert row["token"] == swatches["token"] == [f"t{index}" for index in range(8)]
    assert swatches["color"] == [hexadecimal(colour) for colour in colours]
    channels = [mixed[name][0] for name in ("red", "green", "blue")]
    np.testing.assert_allclose(channels, weights @ colours, **CLOSE)
    assert mixed["color"] == [hexadecimal(weights @ colours)]


def test_every_tile_of_the_overview_is_its_heads_weights(toy):
    choose(toy, **START, Mask="causal", Temperature=-4)

    mask, temperature = mask_of(CALL, "causal"), 10**-0.2
    for head in range(4):
        weights = reckon(CALL, head, mask=mask, temperature=temperature).weights
        # 24 cells for 8 tokens: each weight fills a block of 3 by 3.
        np.testing.assert_allclose(tile(toy, 0, head), np.kron(weights, np.ones((3, 3))), **CLOSE)


def test_the_models_own_mask_and_shared_keys_are_applied(shelf, traces):
    open_trace(shelf, "many.safetensors")
    call = traces["many.safetensors"].calls[1]
    for batch, head, own in (
        (0, 3, np.tri(5, dtype=bool)),
        (1, 1, np.tri(5, dtype=bool) & (np.arange(5) < 4)),
    ):
        choose(shelf, Layer=1, Batch=batch, Head=head, Mask="as the model", Temperature=0)

        assert_heatmaps_show(shelf, reckon(call, head, batch=batch, mask=own))
    choose(shelf, Mask="none")
    assert_heatmaps_show(shelf, reckon(call, 1, batch=1))


@pytest.mark.parametrize("align", ["top_left", "bottom_right"])
def test_a_causal_mask_starts_where_its_alignment_says(shelf, traces, align):
    open_trace(shelf, "cross.safetensors")
    call = traces["cross.safetensors"].calls[0]
    choose(
        shelf,
        Head=0,
        Temperature=0,
        Mask="causal",
        Causal_alignment=align.replace("_", " "),
        Token=2,
    )

    assert_heatmaps_show(shelf, reckon(call, mask=mask_of(call, "causal", align=align)))
    # Query 2 of 4 sees the keys to 2, or with the ends of 4 and 7 aligned those to 5.
    seen = {"top_left": 3, "bottom_right": 6}[align]
    assert np.count_nonzero(source(shelf, "attn:row")["weight"]) == seen


def assert_heatmaps_show(page, expected: Reckoned) -> None:
    np.testing.assert_allclose(matrix(page, "scores"), expected.scores, **CLOSE)
    np.testing.assert_allclose(matrix(page, "weights"), expected.shown_weights, **CLOSE)
    np.testing.assert_allclose(matrix(page, "output"), expected.output, **CLOSE)


def tile(page, layer: int, head: int) -> np.ndarray:
    """One head's part of the overview; the gaps between the tiles are nan."""
    mosaic = matrix(page, "grid")
    columns = np.flatnonzero(~np.isnan(mosaic).all(axis=0)).reshape(-1, 24)
    rows = np.flatnonzero(~np.isnan(mosaic).all(axis=1)).reshape(-1, 24)
    return mosaic[np.ix_(rows[layer], columns[head])]
