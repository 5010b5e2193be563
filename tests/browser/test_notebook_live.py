"""An example notebook in JupyterLab: pictures that follow, and a page of it that says it rests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

import attnpanel as ap
from docs.jupyterlab import jupyterlab, run_all
from docs.run_notebooks import EXAMPLES

LIMIT_MS = 120_000
# The bars of the first explorer of the page: their heights are the weights of its row.
ROW = """
() => {
  for (const document of window.Bokeh?.documents ?? []) {
    const source = document.get_model_by_name("attn:row")
    if (source) return [...source.data.weight]
  }
  return null
}
"""
CLOSE = f"""
(row) => {{
  const shown = ({ROW})()
  return shown && shown.every((weight, key) => Math.abs(weight - row[key]) < 1e-6)
}}
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The first cells of a chapter's notebook and its explorer, in a folder of their own."""
    folder = tmp_path_factory.mktemp("notebooks")
    content = json.loads((EXAMPLES / "1_attention_lab.ipynb").read_text())
    shown = [i for i, cell in enumerate(content["cells"]) if "ap.Explorer(" in str(cell["source"])]
    content["cells"] = [*content["cells"][:2], content["cells"][shown[0]]]
    path = folder / "lab.ipynb"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def saved(notebook, browser) -> Path:
    """The notebook run in JupyterLab, a token tapped there, and saved; what was seen on the way."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    left = []
    context.on("request", lambda request: left.append(request.url))
    with jupyterlab(notebook.parent) as address:
        page = context.new_page()
        run_all(page, address, notebook.name)
        follow(page, token=5, temperature=0.1)
        page.get_by_text("t3", exact=True).first.click()
        follow(page, token=3, temperature=0.1)
        page.evaluate("void window.jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_function(
            "async (url) => JSON.stringify(await (await fetch(url)).json()).includes('docs_json')",
            arg=f"{address}api/contents/{notebook.name}",
            timeout=LIMIT_MS,
        )
    context.close()
    own = ("http://localhost", "http://127.0.0.1", "data:", "blob:")
    assert [url for url in left if not url.startswith(own)] == []
    return notebook


def follow(page, *, token, temperature):
    """Wait until the row on the page is NumPy's."""
    call = ap.toy_trace(T=8, d_model=8, heads=4, seed=7).calls[0]
    row = call.weights(2, temperature=temperature, mask=ap.make_mask("causal", 8))[token]
    page.wait_for_function(CLOSE, arg=row.tolist(), timeout=LIMIT_MS)


def test_a_notebook_is_live_and_its_page_shows_the_pictures_and_says_that_it_rests(
    saved, open_page, problems
):
    page_file = saved.with_suffix(".html")
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", str(saved)]
    subprocess.run(convert, check=True, capture_output=True)
    # Jupyter's own template asks for these; nothing of ours does.
    problems.allow(r"cdnjs\.cloudflare\.com|ERR_INTERNET_DISCONNECTED")
    page = open_page(offline=True)

    page.goto(page_file.as_uri())

    expect(page.get_by_text("no Python is behind this page")).to_be_visible()
    follow(page, token=5, temperature=0.1)
    assert page.locator(".attn-controls").first.evaluate("node => node.inert")
