"""Entropy per token: its numbers follow head, mask and temperature; a tap chooses the token."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel import attend
from attnpanel.analysis import entropy
from attnpanel.ui.theme import DARK
from tests.browser.acting import choose, tap
from tests.browser.reading import place, source
from tests.browser.report_page import fragment, go

pytest_plugins = ["tests.browser.reports"]
PADDED = np.outer(np.arange(8) < 5, np.arange(8) < 5)
START = "head=2&mean=0&token=6&temperature=1&mask=causal&pad=5&empty=zero"


def rows_of(trace, head, mask, temperature):
    """Each row's entropy as NumPy has it, from what a report holds; nan without a key."""
    (call,) = trace.calls
    weights = attend(
        call.query.astype(np.float16).astype(np.float32)[0, head],
        call.key.astype(np.float16).astype(np.float32)[0, head],
        None,
        mask=mask,
        scale=call.scale,
        temperature=temperature,
        empty_rows="zero",
    ).weights
    return [entropy(row[None]) if row.any() else np.nan for row in weights]


@pytest.mark.thorough(but=1)
@pytest.mark.parametrize(
    ("mask", "visible"), [("causal", np.tri(8, dtype=bool)), ("padding", PADDED)]
)
def test_the_bars_are_numpys(toy_report, mask, visible):
    go(toy_report.page, f"{START}&mask={mask}".replace("mask=causal&", "", 1))
    choose(toy_report.page, Head=1, Temperature=-6)

    bars = source(toy_report.page, "attn:entropy")
    expected = rows_of(toy_report.trace, 1, visible, 10**-0.3)
    np.testing.assert_allclose(bars["entropy"], expected, atol=1e-5)
    np.testing.assert_allclose(bars["top"], np.nan_to_num(expected), atol=1e-5)
    np.testing.assert_array_equal(bars["seen"], visible.sum(axis=-1))
    most = source(toy_report.page, "attn:entropy:most")["top"]
    np.testing.assert_allclose(most, np.log(np.maximum(visible.sum(axis=-1), 1)))


def test_a_token_that_sees_nothing_is_said_to(toy_report):
    go(toy_report.page, START.replace("causal", "padding"))

    tooltips = source(toy_report.page, "attn:entropy")["tooltip"]
    assert set(tooltips[5:]) == {"none: sees no key"}
    assert all("nats, at most 1.609 over 5 keys" in text for text in tooltips[:5])
    assert source(toy_report.page, "attn:entropy:labels")["text"].count("∅") == 3
    choose(toy_report.page, Empty_rows="uniform")
    tooltips = source(toy_report.page, "attn:entropy")["tooltip"]
    assert tooltips[5] == "2.079 nats, though it sees no key"


def test_a_tap_chooses_the_token_and_outlines_it(toy_report):
    go(toy_report.page, START)

    tap(toy_report.page, "entropy", 3, 0.2)

    assert fragment(toy_report.page)["token"] == "3"  # noqa: S105 - no secret
    outline = toy_report.page.evaluate(
        """() => {
          const plot = Bokeh.documents[0].get_model_by_name("attn:plot:entropy")
          const box = plot.center.find((one) => one.name === "attn:outline")
          return [box.left, box.right]
        }"""
    )
    assert outline == [2.5, 3.5]


def test_the_tooltip_appears_above_a_low_bar_too(toy_report):
    page = toy_report.page
    go(page, START)
    tooltips = source(page, "attn:entropy")["tooltip"][1]

    page.mouse.move(*place(page, "entropy", 1, 1.8))

    expect(page.get_by_text(tooltips)).to_be_visible()


def test_its_bars_follow_the_look(toy_report):
    go(toy_report.page, f"{START}&theme=dark")
    dark = source(toy_report.page, "attn:entropy")["color"]
    go(toy_report.page, f"{START}&theme=light")

    assert set(dark) == {DARK.bar}
