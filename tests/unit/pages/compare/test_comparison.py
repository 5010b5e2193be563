"""Comparison: what it hands the page, and what it believes of what the page says."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.comparison import Comparison
from attnpanel.pages.compare.report import save_comparison
from attnpanel.trace import AttentionCall, Trace

TOY = toy_trace(T=5, d_model=6, heads=3)


@pytest.fixture
def comparison():
    return Comparison(TOY, TOY, head=(0, 2))


def tell(comparison, **told):
    serial = comparison.driver.given["serial"]
    comparison.driver.state = {**comparison.state, "serial": serial, **told}


def test_the_page_gets_both_traces_and_where_to_start(comparison):
    given = comparison.driver.given

    assert [len(side["calls"]) for side in given["sides"]] == [1, 1]
    assert given["start"]["head"] == [0, 2]
    assert comparison.state == given["start"]


@pytest.mark.parametrize(("dark", "css"), [(False, "attn-light"), (True, "attn-dark")])
def test_it_opens_in_the_theme_that_is_asked_for(dark, css):
    comparison = Comparison(TOY, TOY, dark=dark)

    assert css in comparison.__panel__().css_classes
    assert (comparison.driver.given["dark"], comparison.interaction.dark) == (dark, dark)


def test_what_the_page_chose_is_the_state(comparison):
    tell(comparison, head=[1, 2], row=4, every=True, temperature=[1.0, 0.5])

    assert comparison.state["head"] == [1, 2]
    assert comparison.state["row"] == 4
    assert comparison.state["every"]
    assert set(comparison.state["apart"]) == {"head", "temperature"}


@pytest.mark.parametrize(
    "told",
    [{"head": [0, 9]}, {"layer": "x"}, {"row": "<b>"}, {"mask": [[], 1]}, {"temperature": [0, 0]}],
)
def test_what_can_t_be_is_not_believed(comparison, told):
    tell(comparison, **told)

    assert comparison.state == comparison.driver.given["start"]


def test_what_a_page_says_of_other_traces_is_past(comparison):
    told = {**comparison.state, "head": [1, 1], "serial": comparison.driver.given["serial"]}
    comparison.show(TOY, TOY, choices={"head": (0, 1)})
    comparison.driver.state = told

    assert comparison.state["head"] == [0, 1]


def test_a_trace_longer_than_a_page_holds_is_refused():
    long = AttentionCall("long", 0, recorded_weights=np.zeros((1, 1, 1, 2049), np.float32))

    with pytest.raises(ValueError, match="a comparison shows 2,048 tokens at most; got 2,049"):
        Comparison(Trace([long]), TOY)


def test_the_file_holds_the_words_as_text(tmp_path):
    words = "</script><img src=x onerror=alert(1)>"
    path = save_comparison(TOY, TOY, tmp_path / "two.html", words=words, question="Why?", head=0)

    page = path.read_text()
    assert words not in page
    assert "\\u003c/script>\\u003cimg src=x" in page


def test_a_folder_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "attnpanel.pages.compare.report.standalone_html", lambda *_, **__: ["a page"]
    )
    with pytest.raises(OSError, match="nowhere"):
        save_comparison(TOY, TOY, tmp_path / "nowhere" / "two.html", head=0)
