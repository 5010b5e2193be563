"""One change of attention, as a link and a sentence have it."""

from __future__ import annotations

import pytest

from attnpanel.change import KINDS, Change, read_change


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_written_into_a_link_is_read_from_it(kind):
    change = Change(kind, 1, None, tuple(amount.start for amount in kind.amounts))

    again = read_change(change.text())

    assert again == (change or Change())
    assert bool(again) == (kind.name != "none")


def test_nothing_chosen_asks_for_nothing_and_says_nothing():
    assert Change().asked() == {}
    assert Change().text() == Change().words() == ""


def test_tokens_are_called_by_their_names_where_there_are_any():
    change = read_change("key,all,2,1")

    assert change.words(["a", "<b>"]) == "every layer, head 2 without key 1 “<b>”"
    assert change.words() == "every layer, head 2 without key 1"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("magic,1,1", "none that this page knows"),
        ("out,1", "none that this page knows"),
        ("out,1,1,5", "none that this page knows"),
        ("out,-1,1", "layer must be from 0 to 10000; the link has “-1”"),
        ("out,1,99999999999", "head must be from 0 to 10000"),
        ("out,all,<script>", "head must be from 0 to 10000; the link has “<script>”"),
        ("temperature,1,1,nan", "temperature must be from 0.05 to 20"),
        ("temperature,1,1,0", "temperature must be from 0.05 to 20"),
        ("window,1,1,1.5", "width must be from 1 to 10000"),
        ("x" * 10**6, "none that this page knows"),
    ],
)
def test_a_hostile_link_is_told(text, complaint):
    with pytest.raises(ValueError, match=complaint) as told:
        read_change(text)

    assert len(str(told.value)) < 120
