"""One change of attention, chosen by widgets or by a link."""

from __future__ import annotations

import pytest

from attnpanel.change_choice import KINDS, ChangeChoice
from tests.hand_made import call, trace_of


@pytest.fixture
def choice():
    made = ChangeChoice()
    made.fit(trace_of(call(0), call(1)))
    return made


def test_nothing_changes_until_a_kind_is_chosen(choice):
    assert choice.asked() is None
    assert choice.address() == {}
    assert not choice._layer.visible


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "none"])
def test_each_kind_is_asked_for_and_a_link_brings_it_back(choice, kind):
    choice._kind.value = kind.label
    choice._layer.value, choice._head.value = "layer 1", "head 0"

    again = ChangeChoice()
    problems = again.restore(choice.address())

    assert problems == []
    assert again.asked() == choice.asked()
    assert choice.asked() == {
        "layer": 1,
        "head": 0,
        **kind.asked(*(amount.start for amount in kind.amounts)),
    }
    shown = [widget for widget in (*choice._amounts, *choice._whole) if widget.visible]
    assert len(shown) == len(kind.amounts)


def test_every_layer_and_head_is_what_one_starts_with(choice):
    choice._kind.value = "knocked out"

    assert choice.asked() == {"layer": "*", "head": None, "scale": 0.0}
    assert choice.words() == "every layer, every head knocked out"
    assert choice.address() == {"change": "out,all,all"}


def test_what_another_trace_lacks_is_chosen_no_more(choice):
    choice._kind.value, choice._layer.value = "knocked out", "layer 1"

    choice.fit(trace_of(call(0)))

    assert choice.asked()["layer"] == "*"


def test_an_emptied_number_is_asked_for(choice):
    choice._kind.value = "without one edge"
    choice._whole[1].value = None

    with pytest.raises(ValueError, match="key must be a number"):
        choice.asked()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "none that this page knows"),
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
def test_a_hostile_link_is_told_and_changes_nothing(choice, text, complaint):
    (said,) = choice.restore({"change": text})

    assert complaint in said
    assert len(said) < 120
    assert choice.asked() is None
