"""Marks of docs/measured.md that need no clock: sizes of reports and of what a page is made of.

Times stand in that page's tables: `make bench-ui` and `make bench-report` measure them.
"""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import AttentionCall, Trace
from tests.browser.reading import open_explorer

LENGTH, LAYERS, HEADS, WIDTH = 512, 6, 12, 32  # MiniLM's
MB = 1e6
ELEMENTS = """() => {
  const count = (root) => [...root.querySelectorAll("*")]
    .reduce((sum, each) => sum + 1 + (each.shadowRoot ? count(each.shadowRoot) : 0), 0)
  return count(document)
}"""


@pytest.fixture(scope="module")
def long_trace():
    """A trace of MiniLM's shape at its greatest length; random numbers deflate least."""
    rng = np.random.default_rng(0)
    shape = (1, HEADS, LENGTH, WIDTH)
    calls = [
        AttentionCall(
            f"layer {index}",
            index,
            query=rng.standard_normal(shape, dtype=np.float32),
            key=rng.standard_normal(shape, dtype=np.float32),
            value=rng.standard_normal(shape, dtype=np.float32),
        )
        for index in range(LAYERS)
    ]
    tokens = [[f"token{index}" for index in range(LENGTH)]]
    return Trace(calls, query_tokens=tokens, key_tokens=tokens)


def test_a_report_of_the_toy_takes_at_most_1_6_mb(tmp_path):
    assert save_report(toy_trace(), tmp_path / "toy.html").stat().st_size <= 1.6 * MB


@pytest.mark.thorough
@pytest.mark.slow
def test_reports_of_512_tokens_stay_within_their_sizes_and_elements(page, long_trace, tmp_path):
    with_values = save_report(long_trace, tmp_path / "values.html", values=True)
    without = save_report(long_trace, tmp_path / "plain.html", values=False)

    assert with_values.stat().st_size <= 13 * MB
    assert without.stat().st_size <= 8.5 * MB
    open_explorer(page, without.as_uri())
    assert page.evaluate(ELEMENTS) <= 2000
