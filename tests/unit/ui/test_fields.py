from __future__ import annotations

import panel as pn
import pytest

from attnpanel.pages.compare.page import ComparePage
from attnpanel.pages.exercises.page import ExercisesPage
from attnpanel.pages.explorer.page import Page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.ui.fields import UNSEEN_LABEL, field, name_tag


@pytest.mark.parametrize("label", ["", "  "])
def test_a_field_without_a_name_is_refused(label):
    with pytest.raises(ValueError, match="a field needs a label; got a blank one"):
        field(pn.widgets.Select, label)


def test_an_unseen_label_stays_for_those_who_hear_it():
    widget = field(pn.widgets.Select, "Model", seen=False, css=["attn-ready"])

    assert widget.label == "Model"
    assert widget.css_classes == ["attn-ready", UNSEEN_LABEL]


def test_a_group_of_buttons_which_has_no_label_of_its_own_gets_a_tag():
    assert field(pn.widgets.RadioButtonGroup, "Source").tags == [name_tag("Source")]


@pytest.mark.parametrize("page", [Page, ComparePage, ExercisesPage])
def test_every_widget_of_a_page_has_a_name(page, monkeypatch):
    monkeypatch.setattr("attnpanel.pages.compare.page.LatestTask.start", lambda *_, **__: None)
    made = page(ServerSettings(), {})
    inputs = made.view.select(
        lambda part: isinstance(part, pn.widgets.Widget) and not isinstance(part, pn.widgets.Button)
    )

    nameless = [part for part in inputs if not part.label.strip()]

    assert inputs
    assert nameless == []
    groups = [part for part in inputs if isinstance(part, pn.widgets.RadioButtonGroup)]
    assert all(part.tags for part in groups)
