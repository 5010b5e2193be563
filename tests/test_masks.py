import doctest
from typing import get_args

import numpy as np
import pytest

from attnpanel import masks
from attnpanel.masks import MASKS, make_mask


def drawn(*rows):
    """A mask as a picture: # may attend, . may not."""
    return np.array([[sign == "#" for sign in row] for row in rows])


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(masks)

    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize(
    ("arguments", "options", "picture"),
    [
        (("none", 2, 3), {}, ("###", "###")),
        (("causal", 3), {}, ("#..", "##.", "###")),
        (("causal", 2, 5), {}, ("#....", "##...")),
        (("causal", 2, 5), {"align": "bottom_right"}, ("####.", "#####")),
        (("causal", 5, 2), {}, ("#.", "##", "##", "##", "##")),
        (("causal", 5, 2), {"align": "bottom_right"}, ("..", "..", "..", "#.", "##")),
        (("padding", 3), {"pad_len": 2}, ("##.", "##.", "...")),
        (("padding", 2, 5), {"pad_len": 3}, ("###..", "###..")),
        (("padding", 5, 2), {"pad_len": 3}, ("##", "##", "##", "..", "..")),
        (("padding", 2), {"pad_len": 0}, ("..", "..")),
        (("key_padding", 3), {"pad_len": 2}, ("##.", "##.", "##.")),
        (("key_padding", 2, 5), {"pad_len": 5}, ("#####", "#####")),
        (("window", 5), {"window": 1}, ("#....", ".#...", "..#..", "...#.", "....#")),
        (("window", 5), {"window": 2}, ("##...", "###..", ".###.", "..###", "...##")),
        (("window", 2, 5), {"window": 2}, ("##...", "###..")),
        (("window", 2, 5), {"window": 2, "align": "bottom_right"}, ("..###", "...##")),
        (("window", 2), {"window": 99}, ("##", "##")),
    ],
)
def test_each_kind_lets_through_the_pairs_drawn_here(arguments, options, picture):
    mask = make_mask(*arguments, **options)

    np.testing.assert_array_equal(mask, drawn(*picture), strict=True)


def test_window_and_causal_together_are_the_causal_sliding_window():
    # Each query sees itself and the key before it: window keys in all.
    mask = make_mask("window", 5, window=2) & make_mask("causal", 5)

    np.testing.assert_array_equal(mask, drawn("#....", "##...", ".##..", "..##.", "...##"))


def test_a_kind_ignores_the_parameters_it_does_not_need():
    mask = make_mask("causal", 3, pad_len=99, window=-1)

    np.testing.assert_array_equal(mask, make_mask("causal", 3))


def test_the_table_lists_every_kind_once_with_what_it_needs():
    assert tuple(row.kind for row in MASKS) == get_args(masks.MaskName)
    for row in MASKS:
        options = dict.fromkeys(row.needs, 2)
        assert make_mask(row.kind, 3, 5, **options).shape == (3, 5)
        for missing in row.needs:
            with pytest.raises(ValueError, match=f"{missing} must be an integer .*; got None"):
                make_mask(row.kind, 3, 5, **{**options, missing: None})


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ("diagonal", 3),
            {},
            "kind must be one of none, padding, causal, key_padding, window; got 'diagonal'",
        ),
        (
            ("causal", 3),
            {"align": "centre"},
            "align must be 'top_left' or 'bottom_right'; got 'centre'",
        ),
        (("none", 0), {}, "query_len must be an integer at least 1; got 0"),
        (("none", 3, 0), {}, "key_len must be an integer at least 1; got 0"),
        (("none", 2.5), {}, "query_len must be an integer at least 1; got 2.5"),
        (("padding", 3, 5), {"pad_len": 6}, "pad_len must be an integer from 0 to 5; got 6"),
        (("padding", 5, 3), {"pad_len": 6}, "pad_len must be an integer from 0 to 5; got 6"),
        (("key_padding", 5, 3), {"pad_len": 4}, "pad_len must be an integer from 0 to 3; got 4"),
        (("key_padding", 3), {"pad_len": -1}, "pad_len must be an integer from 0 to 3; got -1"),
        (("padding", 3), {"pad_len": True}, "pad_len must be an integer from 0 to 3; got True"),
        (("window", 3), {"window": 0}, "window must be an integer at least 1; got 0"),
    ],
)
def test_make_mask_refuses_with_the_rule_and_the_values(arguments, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        make_mask(*arguments, **options)

    assert str(caught.value) == message
