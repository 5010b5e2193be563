import panel as pn
import pytest

from attnpanel.ui.header import Link, brand, link_pages


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    """An empty Panel cache."""
    monkeypatch.setattr(pn.state, "cache", {})


def test_a_page_links_to_all_pages_and_marks_itself():
    link_pages([Link("", "Explorer"), Link("lab", "Lab")])

    html = brand("lab").object

    assert html == (
        "<h1>attnpanel</h1>"
        "<button class='attn-pages-button' popovertarget='attn-pages'>Lab</button>"
        "<nav id='attn-pages' popover aria-label='Pages'><a href='./'>Explorer</a>"
        "<a href='./lab' aria-current=page>Lab</a></nav>"
    )


def test_a_page_served_alone_has_no_links():
    assert brand("bench", alone="attnpanel bench").object == "<h1>attnpanel bench</h1>"


def test_a_file_made_while_pages_are_served_has_no_links():
    link_pages([Link("", "Explorer")])

    assert brand(None, alone="attnpanel bench").object == "<h1>attnpanel bench</h1>"


def test_a_title_is_escaped():
    link_pages([Link("x", "<img src=x>")])

    assert "<img" not in brand("").object
