"""The widgets of one change of attention."""

from __future__ import annotations

import panel as pn
import pytest

from attnpanel.models.intervention_spec import (
    INTERVENTION_KINDS,
    InterventionSpec,
    parse_intervention,
)
from attnpanel.pages.explorer.intervention_form import InterventionForm
from attnpanel.trace import Trace
from tests.hand_made import call, trace_of

TOKENS = ["[CLS]", "<b>it", "fits", "it", "[SEP]"]


def two_layers(tokens=TOKENS):
    return Trace(
        [call(0, query_len=5, key_len=5), call(1, query_len=5, key_len=5)], query_tokens=[tokens]
    )


@pytest.fixture
def form():
    made = InterventionForm()
    made.fit(two_layers())
    return made


def test_nothing_changes_until_a_kind_is_chosen(form):
    assert form.chosen() == InterventionSpec()
    assert not form._layer.visible
    assert not form._not_run.visible


@pytest.mark.parametrize("kind", INTERVENTION_KINDS[1:], ids=lambda kind: kind.name)
def test_each_kind_can_be_chosen_and_shows_what_it_needs(form, kind):
    form._kind.value = kind.label
    form._layer.value, form._head.value = "layer 1", "head 0"
    chosen = form.chosen()

    again = InterventionForm()
    again.choose(chosen)

    assert again.chosen() == chosen
    assert chosen == InterventionSpec(
        kind, 1, 0, tuple(amount.default for amount in kind.parameters)
    )
    amounts = (form._decimal, form._whole, *form._tokens)
    assert sum(widget.visible for widget in amounts) == len(kind.parameters)


def test_tokens_are_chosen_by_name(form):
    form._kind.value = "without one edge"
    assert form._tokens[0].options == [
        "0 · [CLS]",
        "1 · <b>it",
        "2 · fits",
        "3 · it",
        "4 · [SEP]",
    ]
    form._tokens[0].value, form._tokens[1].value = "3 · it", "2 · fits"

    form.fit(two_layers(["a", "b", "c", "d", "e"]))

    assert form.chosen().values == (3, 2)
    assert [widget.value for widget in form._tokens] == ["3 · d", "2 · c"]


def test_a_place_of_a_text_not_read_yet_is_a_number_until_it_is(form):
    fresh = InterventionForm()
    fresh.choose(parse_intervention("key,0,all,3"))
    assert fresh.chosen().values == (3,)

    fresh.fit(two_layers())

    assert fresh._tokens[0].value == "3 · it"


def test_what_was_not_run_is_said_to_be_none(form):
    form._kind.value = "knocked out"
    assert form._not_run.visible

    form.settle(form.chosen())
    assert not form._not_run.visible

    form._head.value = "head 0"
    assert form._not_run.visible


def test_another_choice_that_was_not_run_is_said_to_be_none():
    option = pn.widgets.Checkbox(label="What heads write")
    form = InterventionForm(option=option)
    assert not form._not_run.visible

    option.value = True
    assert form._not_run.visible

    form.settle(form.chosen(), option=True)
    assert not form._not_run.visible


def test_what_another_trace_lacks_is_chosen_no_more(form):
    form._kind.value, form._layer.value = "knocked out", "layer 1"

    form.fit(trace_of(call(0)))

    assert form.chosen().layer is None


def test_an_emptied_number_is_asked_for(form):
    form._kind.value = "window mask"
    form._whole.value = None

    assert form._not_run.visible
    with pytest.raises(ValueError, match="width must be a number"):
        form.chosen()


def test_an_unusable_link_is_told_and_changes_nothing(form):
    (said,) = form.restore({"change": "magic,1,1"})

    assert "none that this page knows" in said
    assert form.chosen() == InterventionSpec()
