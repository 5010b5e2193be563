"""A report in Firefox: it opens, answers the keyboard and computes what NumPy does."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.bench.browser import FIREFOX_HINT, find_firefox
from attnpanel.explorer.state import ExplorerState
from tests.browser.firefox import start_firefox
from tests.browser.report_page import LIVE
from tests.browser.report_traces import stored

pytest_plugins = ["tests.browser.reports"]

# The file itself and what lies in it.
INSIDE = ("file:", "blob:", "data:")
ARROW_DOWN = "\ue015"
WEIGHTS = "Array.from(Bokeh.documents[0].get_model_by_name('attn:weights').data.image[0])"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    command = find_firefox()
    if command is None:
        pytest.skip(FIREFOX_HINT)
    with start_firefox(command, tmp_path_factory.mktemp("firefox")) as started:
        yield started


def test_a_report_is_live_in_firefox(firefox, reports):
    path, trace = reports("toy")
    state = ExplorerState(stored(trace), head=2, query_index=5, mask="causal", temperature=0.5)
    firefox.open(path.as_uri())
    firefox.wait_for(LIVE)

    # Once it is drawn, the page writes the address in its own order.
    firefox.evaluate("void (location.hash = 'mask=causal&temperature=0.5&token=4&head=2')")
    firefox.wait_for("location.hash === '#head=2&token=4&temperature=0.5&mask=causal'")
    firefox.press(ARROW_DOWN)
    firefox.wait_for("location.hash.includes('token=5')")

    made = np.array(firefox.evaluate(WEIGHTS), dtype=float).reshape(state.selection.weights.shape)
    expected = np.where(state.selection.visible, state.selection.weights, np.nan)
    # What 1e-6 at temperature 1 becomes at a half.
    np.testing.assert_allclose(made, expected, rtol=0, atol=2e-6)
    assert firefox.problems() == []
    assert [url for url in firefox.requests() if not url.startswith(INSIDE)] == []


# Elements by CSS, shadow roots included.
DEEP = """((css) => {
  const deep = (root) => [...root.querySelectorAll("*")].flatMap((one) =>
    [one, ...(one.shadowRoot ? deep(one.shadowRoot) : [])])
  return deep(document).filter((one) => one.matches(css))
})"""


@pytest.mark.thorough
def test_served_pages_live_in_firefox(firefox, served):
    before = len(firefox.problems())
    firefox.open(f"{served}exercises?exercise=causal&mask=causal")
    check = f"{DEEP}('button').find((one) => one.textContent === 'Check')"
    firefox.wait_for(f"location.search.includes('mask=causal') && {check}")
    firefox.evaluate(f"{check}.click()")
    firefox.wait_for(
        f"{DEEP}('.attn-caption').some((one) => one.textContent.includes('Solved: t0 may see 1'))"
    )
    # Later Firefox may complain of the connection that leaving the page cuts.
    assert firefox.problems()[before:] == []

    firefox.open(f"{served}lab")
    firefox.wait_for(f"{DEEP}('.bk-spin-btn[aria-hidden=true]').length === 14")


def test_what_is_watched_in_firefox_is_seen(firefox):
    firefox.open("about:blank")
    firefox.evaluate("fetch('http://attnpanel.invalid/').catch(() => console.warn('seen'))")

    firefox.wait_until_told(lambda: "http://attnpanel.invalid/" in firefox.requests())
    firefox.wait_until_told(lambda: "warn: seen" in firefox.problems())
