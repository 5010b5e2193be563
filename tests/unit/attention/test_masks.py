import doctest

import numpy as np
import pytest

from attnpanel.attention import masks
from attnpanel.attention.mask_table import MASKS, mask_kinds
from attnpanel.attention.masks import make_mask


def drawn(*rows):
    """A mask as text: # may attend, . may not."""
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
        (("prefix", 4), {"prefix_len": 2}, ("##..", "##..", "###.", "####")),
        (("prefix", 3), {"prefix_len": 0}, ("#..", "##.", "###")),
        (("prefix", 2, 5), {"prefix_len": 3, "align": "bottom_right"}, ("####.", "#####")),
        (("prefix", 2, 5), {"prefix_len": 3}, ("###..", "###..")),
        (("documents", 4), {"starts": (1,)}, ("#...", ".###", ".###", ".###")),
        (("documents", 4), {"starts": [0, 2, 3, 4]}, ("##..", "##..", "..#.", "...#")),
        (("documents", 2), {"starts": ()}, ("##", "##")),
        (("documents", 2, 5), {"starts": (2, 4), "align": "bottom_right"}, ("..##.", "....#")),
        (("causal_documents", 4), {"starts": (1,)}, ("#...", ".#..", ".##.", ".###")),
        (("causal_documents", 2, 5), {"starts": (2,), "align": "bottom_right"}, ("..##.", "..###")),
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
    assert len({row.kind for row in MASKS}) == len(MASKS)
    for row in MASKS:
        options = {item.name: item.example_at(3, 5) for item in row.parameters}
        assert make_mask(row.kind, 3, 5, **options).shape == (3, 5)
        for missing in row.needs:
            with pytest.raises(ValueError, match=f"{missing} must be .*; got None"):
                make_mask(row.kind, 3, 5, **{**options, missing: None})


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            ("diagonal", 3),
            {},
            f"kind must be one of {', '.join(mask_kinds())}; got 'diagonal'",
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
        (("documents", 3), {"starts": (2, 1)}, "starts must increase; got (2, 1)"),
        (("documents", 3), {"starts": (4,)}, "starts must be an integer from 0 to 3; got 4"),
        (("documents", 3), {"starts": 2}, "starts must be a list of positions; got 2"),
    ],
)
def test_make_mask_refuses_with_the_rule_and_the_values(arguments, options, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared below
        make_mask(*arguments, **options)

    assert str(caught.value) == message
