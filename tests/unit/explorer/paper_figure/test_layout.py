"""Labels, ticks and lines of a figure: what fits where."""

from itertools import pairwise

import pytest

from attnpanel.explorer.paper_figure.layout import (
    LINE,
    bottom_labels,
    side_labels,
    spaced_ticks,
    with_label,
    wrap,
)


def wide(text):
    return 4 * len(text)


@pytest.mark.parametrize("count", [1, 2, 17, 31, 53, 211, 2048])
@pytest.mark.parametrize("room", [34, 101, 400])
def test_labels_beside_a_map_leave_a_line_to_each(count, room):
    labels = side_labels([f"t{i}" for i in range(count)], count, room)

    pitch = room / count
    assert labels.at[0] == 0
    assert all((b - a) * pitch >= labels.size * LINE * 0.999 for a, b in pairwise(labels.at))
    assert len(labels.at) == len(labels.texts)
    expected = [f"t{i}" if labels.tokens else str(i) for i in labels.at]
    assert list(labels.texts) == expected


def test_every_second_token_is_named_and_fewer_are_numbered():
    tokens = ["a", "b", "c", "d", "e"]

    assert side_labels(tokens, 5, 31).texts == ("a", "b", "c", "d", "e")
    assert side_labels(tokens, 5, 20).texts == ("a", "c", "e")
    assert side_labels(tokens, 5, 10).texts == ("0",)
    assert not side_labels(tokens, 5, 10).tokens


def test_labels_below_stand_level_only_where_the_widest_fits():
    tokens = ["a", "suitcase"]  # 32 points

    assert bottom_labels(tokens, 2, 80, wide).upright
    assert not bottom_labels(tokens, 2, 40, wide).upright


def test_positions_below_have_room_for_the_widest_of_them():
    labels = bottom_labels(None, 2048, 100, wide)

    assert not labels.tokens
    assert all((b - a) * 100 / 2048 > wide("2047") for a, b in pairwise(labels.at))


@pytest.mark.parametrize(
    ("room", "expected"), [(100, [0, 0.5, 1]), (200, [0, 0.25, 0.5, 0.75, 1]), (30, [0, 1])]
)
def test_a_colour_bar_keeps_its_numbers_even(room, expected):
    ticks = [(part / 4, "0.25") for part in range(5)]

    assert [place for place, _ in spaced_ticks(ticks, room, lambda _: 30)] == expected


def test_the_outlined_query_is_named_in_place_of_those_it_meets():
    numbered = side_labels(None, 50, 50)  # a line takes 7.8 points
    assert numbered.at == (0, 10, 20, 30, 40)

    assert with_label(numbered, None, 12, 1.0).texts == ("0", "12", "20", "30", "40")
    assert with_label(numbered, None, 20, 1.0) is numbered
    named = side_labels(["a", "b", "c", "d"], 4, 16)
    assert with_label(named, ["a", "b", "c", "d"], 1, 4.0).texts == ("b",)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("one two three", ["one", "two", "three"]),
        ("a b c d", ["a b c", "d"]),
        ("abcdefghijkl", ["abcde", "fghij", "kl"]),
        ("x abcdefg", ["x", "abcde", "fg"]),
        ("abc-defgh", ["abc-", "defgh"]),
    ],
)
def test_lines_are_no_wider_than_their_room(text, lines):
    assert wrap(text, 20, wide) == lines
