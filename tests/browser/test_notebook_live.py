"""Explorers in JupyterLab, and the page that nbconvert makes of the notebook."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

import attnpanel as ap
from docs.jupyterlab import jupyterlab, run_all
from tests.browser.conftest import PATIENCE_MS, Problems

pytestmark = pytest.mark.thorough

TOKEN = 5
QUERY = 0  # that an explorer of the toy opens on
TRACE = "trace = ap.toy_trace(T=8, d_model=8, heads=4, seed=7)"
CELLS = (
    f"import attnpanel as ap\n{TRACE}\nfirst = ap.Explorer(trace)\nfirst",
    "second = ap.Explorer(trace, head=1)\nsecond",
    "first.views.scores + first.views.weights",
)
# The most bytes of a notebook of one explorer, and of two and two views.
MAX_BYTES = (3_000_000, 3_700_000)
# Models of the page by a test of theirs, in the order of the cells.
MODELS = """
const models = (test) => (window.Bokeh?.documents ?? [])
  .flatMap((document) => [...document._all_models.values()].filter(test))
const drivers = () => models((model) => model.data?.meta?.schema)
const sources = (name) => {
  const all = models((model) => model.name === name && model.data.image)
  const own = drivers().map(({document}) => all.find((source) => source.document === document))
  return [...own, ...all.filter((source) => !own.includes(source))]
}
"""
AT_REST = f"""(count) => {{
  {MODELS}
  return drivers().length === count && drivers().every((model) => model.data.at_rest)
}}"""
# Whether the row of a token in one of the pictures is this one, to what float32 keeps of it.
SHOWS = f"""([name, which, token, row]) => {{
  {MODELS}
  const image = sources(name)[which]?.data.image[0]
  const close = (weight, key) => Math.abs(image[token * row.length + key] - weight) < 1e-6
  return image && row.every(close)
}}"""
RUN = """async (code) => {
  const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session
  const reply = await kernel.requestExecute({code, user_expressions: {value: "value"}}).done
  if (reply.content.status !== "ok") throw new Error(reply.content.traceback.join("\\n"))
  return reply.content.user_expressions.value.data?.["text/plain"]
}"""
# What a cell of this code would show.
OUTPUTS = """async (code) => {
  const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session
  const future = kernel.requestExecute({code}), outputs = []
  future.onIOPub = ({header: {msg_type: output_type}, content: {data, metadata}}) => {
    if (output_type === "display_data") outputs.push({output_type, data, metadata})
    if (output_type === "execute_result")
      outputs.push({output_type, data, metadata, execution_count: 1})
  }
  const reply = await future.done
  if (reply.content.status !== "ok") throw new Error(reply.content.traceback.join("\\n"))
  return outputs
}"""
LARGE = """
from attnpanel.explorer import transport
limit, transport.MAX_EMBEDDED_BYTES = transport.MAX_EMBEDDED_BYTES, 0
large = ap.Explorer(trace)
display(large)
transport.MAX_EMBEDDED_BYTES = limit
"""
# `wait_for_function` takes the promise of an async function for a truth.
UNTIL = f"""async ([code, says, limit]) => {{
  const end = performance.now() + limit
  for (;;) {{
    const value = await ({RUN})(code)
    if (value === says) return
    if (performance.now() > end) throw new Error(`${{code}} is ${{value}}, not ${{says}}`)
    await new Promise(requestAnimationFrame)
  }}
}}"""
# Steps of the head by the keyboard's own message, one a frame.
STEPS = f"""async ([which, steps]) => {{
  {MODELS}
  const {{explorer_id}} = drivers()[which].data
  for (const by of steps) {{
    const detail = {{step: ["head", by]}}
    document.dispatchEvent(new CustomEvent(`attn:message:${{explorer_id}}`, {{detail}}))
    await new Promise(requestAnimationFrame)
  }}
}}"""


@dataclass
class Lab:
    """A notebook that was run in JupyterLab, and what went wrong there."""

    page: Page
    path: Path
    problems: Problems

    def run(self, code: str) -> str:
        """Run code in the kernel and return how it shows what it called `value`."""
        return self.page.evaluate(RUN, f"value = None\n{code}")

    def shows(self, name: str, which: int, *, head: int, timeout: float = PATIENCE_MS) -> None:
        """Wait until one of the pictures of that name is NumPy's."""
        shows(self.page, name, which, head=head, timeout=timeout)

    def python_is_at(self, which: str, head: int) -> None:
        """Wait until Python's state is where the page is."""
        self.until(f"value = {which}.state.head", str(head))

    def until(self, code: str, says: str) -> None:
        """Run code in the kernel again and again until it shows what it calls `value` so."""
        self.page.evaluate(UNTIL, [code, says, PATIENCE_MS])


def shows(page: Page, name: str, which: int, *, head: int, timeout: float = PATIENCE_MS) -> None:
    row = ap.toy_trace(T=8, d_model=8, heads=4, seed=7).calls[0].weights(head)[TOKEN]
    page.wait_for_function(SHOWS, arg=[name, which, TOKEN, row.tolist()], timeout=timeout)


def explains(page: Page, *, head: int) -> None:
    """Open the card that explains a weight in the cell of a head, and hold it to NumPy's."""
    trace = ap.toy_trace(T=8, d_model=8, heads=4, seed=7)
    row = trace[0].weights(head)[QUERY]
    score = trace.explain(0, head, QUERY, int(row.argmax())).score
    place = page.locator(".attn-why", has=page.get_by_text(f"layer 0, head {head}"))
    for card in page.locator(".attn-why").all():
        card.locator("summary").first.click()
    expect(place.locator("h3")).to_contain_text(f"Where does {score.score:.2f} come from?")
    expect(place.locator(".attn-why-chart svg")).to_be_visible()
    for card in page.locator(".attn-why").all():
        card.locator("summary").first.click()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("notebooks")
    path = folder / "lab.ipynb"
    path.write_text(json.dumps(notebook_of(CELLS)))
    problems = Problems()
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    problems.watch(context)
    # JupyterLab's own plugins say how long they took.
    problems.allow("console warning: Plugin @jupyterlab")
    with jupyterlab(folder) as address:
        page = context.new_page()
        run_all(page, address, path.name)
        page.wait_for_function(AT_REST, arg=2)
        yield Lab(page, path, problems)
        context.close()  # before its server goes
    assert problems.unexpected() == []


def notebook_of(cells: tuple[str, ...]) -> dict:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    empty = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    made = [{**empty, "id": f"cell{at}", "source": source} for at, source in enumerate(cells)]
    return {
        "cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip


def test_both_explorers_and_the_views_are_drawn(lab):
    lab.shows("attn:weights", 0, head=0)
    lab.shows("attn:weights", 1, head=1)
    # HoloViews' own picture of the same state; its first row lies at the smallest y, too.
    lab.shows("attn:weights", 2, head=0)


def test_python_moves_the_page(lab):
    lab.run("first.state.head = 3")

    lab.shows("attn:weights", 0, head=3)
    lab.shows("attn:weights", 1, head=1)


def test_a_cell_explains_a_weight(lab):
    lab.run("first.state.head = 1; second.state.head = 2")
    lab.shows("attn:weights", 0, head=1)
    lab.shows("attn:weights", 1, head=2)

    explains(lab.page, head=2)


def test_the_views_follow(lab):
    # HoloViews' own channel to its page may not be open yet: what it says before is lost.
    for _ in range(20):
        lab.run("first.state.head = 2; first.state.head = 3")
        with suppress(PlaywrightTimeout):
            lab.shows("attn:weights", 2, head=3, timeout=PATIENCE_MS / 20)
            return
    pytest.fail("HoloViews' view stays as it was")


def test_the_page_moves_while_the_kernel_is_busy_and_python_follows_afterwards(lab):
    lab.run("from pathlib import Path; Path('go').unlink(missing_ok=True); second.state.head = 0")
    lab.shows("attn:weights", 1, head=0)
    lab.page.evaluate(
        """() => {
          const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session
          kernel.requestExecute({
            code: "import time\\nwhile not Path('go').exists(): time.sleep(0.01)",
          })
        }"""
    )

    lab.page.evaluate(STEPS, [1, [1, 1]])
    lab.shows("attn:weights", 1, head=2)

    (lab.path.parent / "go").write_text("")
    lab.python_is_at("second", 2)


def test_twenty_fast_pairs_of_keys_end_on_the_right_head_on_both_sides(lab):
    lab.run("first.state.head = 0")
    lab.shows("attn:weights", 0, head=0)

    lab.page.evaluate(STEPS, [0, [*[1, -1] * 20, *[1] * 3]])

    lab.python_is_at("first", 3)
    lab.shows("attn:weights", 0, head=3)


def test_notes_of_two_explorers_are_each_their_own(lab):
    fields = lab.page.locator("textarea.attn-note-field")
    expect(fields).to_have_count(2)
    fields.nth(1).fill("of the second")
    fields.nth(1).press("Control+Enter")

    lab.until("value = [note.text for note in second.notes]", "['of the second']")


@pytest.fixture(scope="module")
def kept(lab):
    """The notebook as it was saved, and one of its first cell and one with a large trace's."""
    lab.run("first.state.head = 1; second.state.head = 3")
    lab.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    content = json.loads(lab.path.read_text())
    cell = {**content["cells"][1], "outputs": lab.page.evaluate(OUTPUTS, LARGE)}
    large = lab.path.with_name("large.ipynb")
    large.write_text(json.dumps({**content, "cells": [content["cells"][0], cell]}))
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", str(lab.path), str(large)]
    subprocess.run(convert, check=True, capture_output=True)
    return lab.path, large


def test_the_notebook_is_small_and_lives_on_as_a_page(kept, open_page, problems):
    notebook, _ = kept
    content = json.loads(notebook.read_text())
    assert all(cell["outputs"] for cell in content["cells"])
    assert notebook.stat().st_size < MAX_BYTES[1]
    alone = {**content, "cells": content["cells"][:1]}
    assert len(json.dumps(alone)) < MAX_BYTES[0]
    shown = content["cells"][2]["outputs"]
    assert [output.get("text") for output in shown if output["output_type"] == "stream"] == []
    # Jupyter's own template asks for these; nothing of ours does.
    problems.allow(r"cdnjs\.cloudflare\.com|ERR_INTERNET_DISCONNECTED")
    page = open_page(offline=True)

    page.goto(notebook.with_suffix(".html").as_uri())

    # As the cells were when they ran; and each is live, with no kernel.
    page.wait_for_function(AT_REST, arg=2)
    heads = page.evaluate(
        f"() => {{ {MODELS} return drivers().map((one) => one.data.state.head) }}"
    )
    assert sorted(heads) == [0, 1]
    for which, head in enumerate(heads):
        shows(page, "attn:weights", which, head=head)
        page.evaluate(STEPS, [which, [1, 1]])
        shows(page, "attn:weights", which, head=head + 2)
    explains(page, head=2)
    page.get_by_text("Read the heads").first.click()
    expect(page.get_by_text("These numbers need Python: run the notebook.")).to_be_visible()


def test_a_trace_too_large_for_a_cell_says_in_a_page_that_the_notebook_is_needed(
    kept, open_page, problems
):
    problems.allow(r"cdnjs\.cloudflare\.com|ERR_INTERNET_DISCONNECTED")
    page = open_page(offline=True)

    page.goto(kept[1].with_suffix(".html").as_uri())

    expect(page.get_by_text("run the notebook")).to_be_visible()
    page.wait_for_function(f"() => {{ {MODELS} return drivers().length === 2 }}")
    drawn = page.evaluate(
        f"() => {{ {MODELS} return sources('attn:weights').map((one) => one.data.image[0][0]) }}"
    )
    assert sorted(np.isnan(drawn)) == [False, True]  # in any order
