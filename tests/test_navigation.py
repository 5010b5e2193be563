import panel as pn
import pytest

from attnpanel.navigation import Link, brand, offer


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    """What a server keeps, empty."""
    monkeypatch.setattr(pn.state, "cache", {})


def test_a_page_links_to_all_and_marks_itself():
    offer([Link("", "Explorer"), Link("lab", "Lab")])

    html = brand("lab").object

    assert html == (
        "<h1>attnpanel</h1><nav aria-label='Pages'><a href='./'>Explorer</a>"
        "<a href='./lab' aria-current=page>Lab</a></nav>"
    )


def test_a_page_that_is_served_alone_links_to_nothing():
    assert brand("bench", alone="attnpanel bench").object == "<h1>attnpanel bench</h1>"


def test_a_file_made_while_pages_are_served_links_to_none():
    offer([Link("", "Explorer")])

    assert brand(None, alone="attnpanel bench").object == "<h1>attnpanel bench</h1>"


def test_a_title_is_text():
    offer([Link("x", "<img src=x>")])

    assert "<img" not in brand("").object
