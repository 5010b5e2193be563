"""A report in Firefox: it opens, answers the keyboard and computes what NumPy does."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.bench.browser import FIREFOX_HINT, find_firefox
from attnpanel.explorer.state import ExplorerState
from attnpanel.pages.explorer.report import save_report
from tests.browser.firefox import start_firefox
from tests.browser.report_page import LIVE
from tests.browser.report_traces import stored
from tests.browser.test_report_worker import shown
from tests.hand_made import call, trace_of

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


# Has a helper of the page's Worker say its name, and how many numbers it computed of each part.
WATCH_HELPERS = """() => {
  window.helped = []
  new BroadcastChannel("helped").onmessage = ({ data }) => window.helped.push(data)
  const post = Worker.prototype.postMessage
  Worker.prototype.postMessage = function ({ script, ...message }, given) {
    const watch = `{
      const channel = new BroadcastChannel("helped")
      const post = self.postMessage.bind(self)
      channel.postMessage(self.name)
      self.postMessage = (message, given) => {
        if (message.arrays) channel.postMessage(message.arrays.scores.length)
        post(message, given)
      }
    }`
    post.call(this, script ? { script: new Blob([watch, script]), ...message } : message, given)
  }
}"""


@pytest.mark.thorough
def test_other_workers_compute_rows_of_a_mean_in_firefox(firefox, tmp_path):
    if firefox.evaluate("navigator.hardwareConcurrency") < 2:
        pytest.skip("one core: nothing is to be gained by another Worker")
    trace = trace_of(call(0, heads=13, query_len=1152))
    preload = firefox.ask("script.addPreloadScript", functionDeclaration=WATCH_HELPERS)["script"]
    firefox.open(save_report(trace, tmp_path / "long.html").as_uri())
    firefox.ask("script.removePreloadScript", script=preload)
    firefox.wait_for(LIVE)

    firefox.evaluate("void (location.hash = 'mean=1')")
    firefox.wait_for("location.hash.includes('mean=1') && window.helped.length > 1")
    firefox.wait_for(f"Bokeh.documents[0].is_idle && {WEIGHTS}.length === 384 ** 2")

    assert firefox.evaluate("window.helped[0]") == "attnpanel-mean-helper"
    made = np.array(firefox.evaluate(WEIGHTS), dtype=float).reshape(384, 384)
    np.testing.assert_allclose(made, shown(trace, None), atol=2e-3)
    assert np.abs(made - shown(trace, 0)).max() > 0.05


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
