"""The widgets of one change of attention."""

from __future__ import annotations

import pytest

from attnpanel.change import KINDS, Change, read_change
from attnpanel.change_choice import ChangeChoice
from attnpanel.trace import Trace
from tests.hand_made import call, trace_of

TOKENS = ["[CLS]", "<b>it", "fits", "it", "[SEP]"]


def two_layers(tokens=TOKENS):
    return Trace(
        [call(0, query_len=5, key_len=5), call(1, query_len=5, key_len=5)], query_tokens=[tokens]
    )


@pytest.fixture
def choice():
    made = ChangeChoice()
    made.fit(two_layers())
    return made


def test_nothing_changes_until_a_kind_is_chosen(choice):
    assert choice.chosen() == Change()
    assert not choice._layer.visible
    assert not choice._due.visible


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.name)
def test_each_kind_can_be_chosen_and_shows_what_it_needs(choice, kind):
    choice._kind.value = kind.label
    choice._layer.value, choice._head.value = "layer 1", "head 0"
    chosen = choice.chosen()

    again = ChangeChoice()
    again.choose(chosen)

    assert again.chosen() == chosen
    assert chosen == Change(kind, 1, 0, tuple(amount.start for amount in kind.amounts))
    amounts = (choice._decimal, choice._whole, *choice._places)
    assert sum(widget.visible for widget in amounts) == len(kind.amounts)


def test_tokens_are_chosen_by_name(choice):
    choice._kind.value = "without one edge"
    assert choice._places[0].options == [
        "0 · [CLS]",
        "1 · <b>it",
        "2 · fits",
        "3 · it",
        "4 · [SEP]",
    ]
    choice._places[0].value, choice._places[1].value = "3 · it", "2 · fits"

    choice.fit(two_layers(["a", "b", "c", "d", "e"]))

    assert choice.chosen().numbers == (3, 2)
    assert [widget.value for widget in choice._places] == ["3 · d", "2 · c"]


def test_a_place_of_a_text_not_read_yet_is_a_number_until_it_is(choice):
    fresh = ChangeChoice()
    fresh.choose(read_change("key,0,all,3"))
    assert fresh.chosen().numbers == (3,)

    fresh.fit(two_layers())

    assert fresh._places[0].value == "3 · it"


def test_what_was_not_run_is_said_to_be_none(choice):
    choice._kind.value = "knocked out"
    assert choice._due.visible

    choice.settle(choice.chosen())
    assert not choice._due.visible

    choice._head.value = "head 0"
    assert choice._due.visible


def test_what_another_trace_lacks_is_chosen_no_more(choice):
    choice._kind.value, choice._layer.value = "knocked out", "layer 1"

    choice.fit(trace_of(call(0)))

    assert choice.chosen().layer is None


def test_an_emptied_number_is_asked_for(choice):
    choice._kind.value = "window mask"
    choice._whole.value = None

    assert choice._due.visible
    with pytest.raises(ValueError, match="width must be a number"):
        choice.chosen()


def test_an_unusable_link_is_told_and_changes_nothing(choice):
    (said,) = choice.restore({"change": "magic,1,1"})

    assert "none that this page knows" in said
    assert choice.chosen() == Change()
