"""The lab's links: what they restore, and what they say of a run that this server lacks."""

import pytest

from attnpanel.pages.lab.link import LabLink, read_link
from attnpanel.pages.lab.page import LabPage


def test_a_link_opens_the_run_and_draws_the_curves_that_the_page_had(trainings, add):
    numbers = [add(name) for name in ("a", "b", "c", "d", "e")]
    page = LabPage(trainings)
    page._choose_followed(numbers[0])
    for number in numbers[2:4]:
        page._drawn.hide(number)
    page.refresh()
    view = {"step": "3", "head": "1.0"}

    opened = LabPage(trainings, read_link({**page.address.choices, **view, "theme": "dark"}))

    assert opened.address.choices == page.address.choices
    assert opened.replay.about["run"] == numbers[0]
    assert opened.replay.linked == {"run": str(numbers[0]), **view}
    assert [run["id"] for run in opened.list.runs if run["shown"]] == [numbers[0], numbers[4]][::-1]
    assert not opened.notice.visible


def test_a_link_can_say_that_no_curve_is_drawn(trainings, add):
    page = LabPage(trainings, LabLink(drawn=(add("one"),)))
    page._drawn.hide(1)
    page.refresh()

    opened = LabPage(trainings, read_link(page.address.choices))

    assert not opened.list.runs[0]["shown"]


@pytest.mark.parametrize("asked", [{"run": "7"}, {"run": "1", "created": "2001-01-01T00:00:00"}])
def test_a_link_to_a_run_that_this_server_lacks_says_so(trainings, add, asked):
    newest = add("mine")

    page = LabPage(trainings, read_link({**asked, "step": "3"}))

    assert page.notice.text.startswith(f"This server does not know run {asked['run']}")
    assert page.notice.visible
    assert page.replay.about["run"] == newest
    assert page.replay.linked == {"run": "None"}


@pytest.mark.parametrize("text", ["", "-1", "x", "1" * 99, "²", "1.5"])
def test_what_is_no_number_asks_for_nothing(text):
    assert read_link({"run": text, "drawn": text}) == LabLink(view={})
