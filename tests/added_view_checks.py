"""What a row of the table of views brings about: run by test_a_row_adds_a_view.py."""

from __future__ import annotations

import subprocess

import holoviews as hv
import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel import Explorer, toy_trace
from attnpanel.explorer.layer_answers import LayerAnswers
from attnpanel.explorer.transport import choices_of
from attnpanel.kernels.javascript.node_process import find_node
from attnpanel.pages.explorer.report import save_report
from attnpanel.ui.explorer_component import BrowserDriver
from attnpanel.ui.session_callbacks import SessionScheduler
from tests.browser.acting import choose, tap
from tests.browser.conftest import browser, open_page, problems  # noqa: F401 - fixtures
from tests.browser.reading import matrix, open_explorer, source
from tests.browser.test_saving_pictures import save
from tests.unit.explorer.layer_questions import decoded

BUILD = """
require("./js/node_modules/esbuild").buildSync({
  entryPoints: ["tests/added_views.js"], outfile: process.argv[1],
  bundle: true, minify: true, format: "esm", charset: "utf8", target: "chrome93",
})
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory, root):
    """A report whose bundle holds the added modules."""
    folder = tmp_path_factory.mktemp("added")
    subprocess.run([find_node(), "-e", BUILD, folder / "explorer.js"], cwd=root, check=True)
    shipped, BrowserDriver._esm = BrowserDriver._esm, (folder / "explorer.js").read_text("utf-8")
    yield save_report(toy_trace(), folder / "report.html", dtype="float32", mask="causal").as_uri()
    BrowserDriver._esm = shipped


@pytest.fixture
def opened(open_page, report):  # noqa: F811 - the fixture
    return open_explorer(open_page(offline=True), report)


def weights_of(**choices):
    return Explorer(toy_trace(), mask="causal", **choices).state.selection.weights


def test_the_figures_are_made_and_zoom_with_those_of_the_same_axes():
    figures = Explorer(toy_trace()).figures

    assert figures["squares"].x_range is figures["scores"].x_range
    assert figures["squares"].y_range is figures["scores"].y_range
    assert figures["sums"].x_range is not figures["scores"].x_range


def test_the_live_views_hold_it():
    explorer = Explorer(toy_trace(), mask="causal")

    assert list(explorer.views)[-2:] == ["squares", "sums"]
    explorer.state.head = 2
    plots = hv.render(explorer.views.squares + explorer.views.sums)
    squares = plots.select_one({"name": "attn:squares"}).data["image"][0]
    np.testing.assert_array_equal(squares, weights_of(head=2) ** 2)


def test_python_answers_for_it_where_a_layer_is_too_large():
    trace, heard = toy_trace(), []
    answers = LayerAnswers(trace, SessionScheduler(), heard.append)
    state = Explorer(trace).state
    for kind in ("matrices", "numbers"):
        answers.ask({"kind": kind, "id": 1, "layers": [0], "state": choices_of(state)})
    matrices, numbers = map(decoded, heard)

    cells = np.frombuffer(matrices["heatmaps"]["squares"]["values"], np.float32)
    np.testing.assert_array_equal(cells, (state.selection.weights**2).ravel())
    sums = np.frombuffer(numbers["measured"]["sums"]["sum"])
    np.testing.assert_allclose(sums, (state.selection.weights.astype(float) ** 2).sum(axis=-1))


def test_a_report_draws_it_under_its_title(opened):
    expect(opened.locator(".attn-side h2", has_text="Squares of the weights")).to_be_visible()
    expect(opened.locator(".attn-center h2", has_text="Sums of squares")).to_be_visible()

    choose(opened, Head=3, Temperature=-4)

    expected = weights_of(head=3, temperature=10**-0.2) ** 2
    np.testing.assert_allclose(matrix(opened, "squares"), expected, atol=1e-6)
    np.testing.assert_allclose(source(opened, "attn:sums")["top"], expected.sum(-1), atol=1e-6)


def test_a_tap_chooses_the_query(opened):
    tap(opened, "squares", 1, 5)
    assert "token=5" in opened.url
    tap(opened, "sums", 2, 0.01)
    assert "token=2" in opened.url


def test_notes_mark_its_cells(opened):
    tap(opened, "squares", 1, 5)
    opened.locator(".attn-note-field").first.fill("here")
    opened.get_by_role("button", name="Add note").click()

    expect(opened.locator(".attn-note-list li")).to_have_count(1)
    assert source(opened, "attn:marks:squares")["text"] == ["1"]


@pytest.mark.parametrize("kind", ["SVG", "PNG"])
@pytest.mark.parametrize("view", ["squares", "sums"])
def test_it_is_saved_from_its_toolbar(opened, tmp_path, view, kind):
    path = save(opened, view, kind, tmp_path)

    assert path.name == f"attnpanel-{view}-layer-0-head-0.{kind.lower()}"
    assert path.stat().st_size > 500
