"""One intervention as a link and as a sentence."""

from __future__ import annotations

import pytest

from attnpanel.models.intervention_spec import (
    INTERVENTION_KINDS,
    InterventionSpec,
    parse_intervention,
)


@pytest.mark.parametrize("kind", INTERVENTION_KINDS, ids=lambda kind: kind.name)
def test_what_is_written_into_a_link_is_read_from_it(kind):
    change = InterventionSpec(kind, 1, None, tuple(amount.default for amount in kind.parameters))

    again = parse_intervention(change.to_text())

    assert again == (change or InterventionSpec())
    assert bool(again) == (kind.name != "none")


def test_no_intervention_has_no_arguments_and_no_description():
    assert InterventionSpec().arguments() == {}
    assert InterventionSpec().to_text() == InterventionSpec().describe() == ""


def test_tokens_are_called_by_their_names_where_there_are_any():
    change = parse_intervention("key,all,2,1")

    assert change.describe(["a", "<b>"]) == "every layer, head 2 without key 1 “<b>”"
    assert change.describe() == "every layer, head 2 without key 1"


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
def test_a_hostile_link_is_an_error(text, complaint):
    with pytest.raises(ValueError, match=complaint) as told:
        parse_intervention(text)

    assert len(str(told.value)) < 120
