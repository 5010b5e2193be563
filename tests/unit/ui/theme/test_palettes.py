"""Contrast and colour-blind safety of both themes."""

import colorsys
import re
from itertools import pairwise

import numpy as np
import pytest

from attnpanel.explorer.views.swatches import readable_on
from attnpanel.ui.theme import DARK, LIGHT, hex_colour, ramp, stylesheet, theme, theme_variables
from attnpanel.ui.theme.palettes import variables

THEMES = {"light": LIGHT, "dark": DARK}
# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", 2009: deuteranopia (severity 1.0), on linear RGB.
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
# sRGB (D65) to XYZ, IEC 61966-2-1.
TO_XYZ = np.array(
    [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
)


def linear(colour):
    """Linear light of a hex colour."""
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def lightness(colour):
    """CIE L*, 0 to 100."""
    return float(lab(linear(colour))[0])


def contrast(one, other):
    """WCAG 2 contrast ratio, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def lab(light):
    """CIE L*a*b* of linear RGB."""
    ratio = TO_XYZ @ light / TO_XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one, other, vision=None):
    """CIE 1976 colour difference; 2.3 is just noticeable."""
    matrix = np.eye(3) if vision is None else vision
    seen = [lab(np.clip(matrix @ linear(colour), 0, 1)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_the_tests_own_contrast_is_wcags():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_tests_own_deuteranopia_keeps_greys_and_confuses_red_with_green():
    np.testing.assert_allclose(DEUTERANOPIA.sum(axis=1), 1, atol=1e-5)
    red, green = "#b06000", "#808000"
    assert difference(red, green, DEUTERANOPIA) < difference(red, green) / 3


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("ground", ["card", "background"])
@pytest.mark.parametrize("text", ["ink", "muted"])
def test_text_can_be_read(palette, ground, text):
    assert contrast(getattr(palette, text), getattr(palette, ground)) >= 4.5


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
def test_the_selection_can_be_seen(palette):
    assert contrast(palette.accent, palette.card) >= 3
    assert contrast(palette.accent, palette.background) >= 3


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
def test_the_text_of_a_chosen_button_can_be_read(palette):
    # The stylesheet writes accent on soft for it, and the card's colour on accent for Run.
    assert contrast(palette.accent, palette.soft) >= 4.5
    assert contrast(palette.card, palette.accent) >= 4.5


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("power", [1.0, 0.5, 0.4])
def test_more_weight_is_further_from_the_card_at_every_step(palette, power):
    colours = ramp(palette.sequential, power=power)
    light = np.array([luminance(colour) for colour in colours])

    assert colours[0] == palette.card
    steps = np.diff(light) * np.sign(light[-1] - light[0])
    # Rounding to 1/255 a channel may hold a step back by less than this.
    assert (steps >= -1e-3).all()
    assert abs(light[-1] - light[0]) > 0.7


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
def test_the_anchors_of_weights_grow_strictly_in_luminance(palette):
    light = [luminance(colour) for colour in palette.sequential]

    assert light in (sorted(set(light)), sorted(set(light), reverse=True))


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
def test_scores_are_symmetric_about_the_cards_colour(palette):
    anchors = palette.diverging

    assert len(anchors) % 2 == 1
    assert anchors[len(anchors) // 2] == palette.card
    zero = lightness(palette.card)
    sizes = []
    for negative, positive in zip(anchors[:3], anchors[:3:-1], strict=True):
        away = [abs(lightness(colour) - zero) for colour in (negative, positive)]
        # Equal size, equal distance from zero, as seen: within 10 of the 100 steps of L*.
        assert abs(away[0] - away[1]) < 10
        sizes.append(min(away))
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("vision", [None, DEUTERANOPIA], ids=["all cones", "deuteranopia"])
def test_the_sign_of_a_score_can_be_seen(palette, vision):
    anchors = palette.diverging

    for size in range(3):
        assert difference(anchors[size], anchors[-1 - size], vision) > 20


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("vision", [None, DEUTERANOPIA], ids=["all cones", "deuteranopia"])
def test_neighbouring_steps_of_both_maps_can_be_told_apart(palette, vision):
    for anchors in (palette.sequential, palette.diverging):
        for one, other in pairwise(anchors):
            assert difference(one, other, vision) > 8


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
def test_a_masked_cell_never_has_the_colour_of_zero(palette):
    assert difference(palette.masked, palette.card) > 5
    assert difference(palette.hatch, palette.masked) > 10
    # Grey: no hue that a weight could have.
    channels = [int(palette.masked[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    assert colorsys.rgb_to_hls(*channels)[2] < 0.2


@pytest.mark.parametrize("palette", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("name", ["sequential", "diverging"])
def test_text_on_any_shade_can_be_read(palette, name):
    for colour in ramp(getattr(palette, name), power=0.5):
        assert contrast(readable_on(colour), colour) >= 4.5


def test_text_on_any_colour_at_all_can_be_read():
    rng = np.random.default_rng(0)
    for colour in map(hex_colour, rng.random((997, 3))):
        assert contrast(readable_on(colour), colour) >= 4.5


def test_a_ramp_passes_through_its_anchors():
    anchors = ("#000000", "#ff0000", "#ffffff")

    assert tuple(ramp(anchors, 5))[::2] == anchors


def test_a_power_of_one_half_takes_the_root_of_the_position():
    plain = ramp(("#000000", "#ffffff"), 101)
    rooted = ramp(("#000000", "#ffffff"), 101, power=0.5)

    assert rooted[25] == plain[50]
    assert rooted[81] == plain[90]


@pytest.mark.parametrize(
    ("rgb", "text"),
    [
        ((0, 0.5, 1), "#0080ff"),
        ((-1, 2, 0.2), "#00ff33"),
        ((0, np.nan, 1), "#8a8f99"),
        ((np.inf, 0, 0), "#8a8f99"),
    ],
)
def test_a_colour_is_clipped_and_an_unknown_one_is_grey(rgb, text):
    assert hex_colour(np.array(rgb, dtype=float)) == text


def test_theme_returns_the_requested_theme():
    assert theme(dark=False) is LIGHT
    assert theme(dark=True) is DARK
    assert (LIGHT.background, DARK.background) == ("#f7f7f4", "#10131a")


def test_the_stylesheet_uses_only_colours_that_both_themes_declare():
    used = set(re.findall(r"var\((--attn-[a-z-]+)", stylesheet()))

    assert used <= variables(LIGHT).keys()
    assert variables(LIGHT).keys() == variables(DARK).keys()
    for name, value in variables(DARK).items():
        assert f"{name}: {value};" in theme_variables()


def test_no_colour_is_written_in_the_stylesheet_itself():
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", stylesheet()) == []
