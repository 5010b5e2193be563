"""Two explorers in one document: each is drawn, moved and noted on by itself."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from types import SimpleNamespace

import panel as pn
import pytest
from playwright.sync_api import expect

from attnpanel.explorer.explorer import Explorer
from attnpanel.models.toy import toy_trace
from tests.browser.conftest import PATIENCE_S, Problems, free_port
from tests.browser.reading import WATCH, settle

# The drivers in the order of the page, and what each of them has drawn.
SHOWN = """() => {
  const all = [...(window.Bokeh?.documents[0]?._all_models.values() ?? [])]
  const drivers = all.filter((model) => model.data?.at_rest !== undefined)
  if (!drivers.every((model) => model.data.at_rest)) return null
  const images = all.filter((model) => model.name === "attn:weights" && model.data.image)
  return images.map((model) => [...model.data.image[0]].slice(0, 3))
}"""
CLOSE = f"""(rows) => {{
  const shown = ({SHOWN})()
  return shown?.length === rows.length
    && rows.flat().every((weight, at) => Math.abs(weight - shown.flat()[at]) < 1e-6)
}}"""


@pytest.fixture(scope="module")
def two(browser):
    """A served page of a row of explorers, and Python's ends of them."""
    made = SimpleNamespace(explorers=[], problems=Problems())

    def app():
        made.explorers[:] = [Explorer(toy_trace(), head=head) for head in (0, 1)]
        return pn.Row(*made.explorers)

    port = free_port()
    server = pn.serve(app, port=port, show=False, threaded=True)
    wait_until_it_listens(port)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    made.problems.watch(context)
    made.page = context.new_page()
    made.page.add_init_script(WATCH)
    made.page.goto(f"http://localhost:{port}")
    yield made
    context.close()
    server.stop()


@pytest.fixture
def page(two):
    """The page, at heads 0 and 1; shared."""
    see(two.page)
    for head, explorer in enumerate(two.explorers):
        explorer.state.head = head
    see(two.page, 0, 1)
    yield two.page
    assert two.problems.unexpected() == []


def wait_until_it_listens(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail(f"no server listens within {PATIENCE_S} s")


def see(page, *heads: int) -> None:
    """Wait until the explorers are drawn, at these heads if any are named."""
    if not heads:
        page.wait_for_function(f"({SHOWN})()?.length === 2")
        return
    call = toy_trace().calls[0]
    page.wait_for_function(CLOSE, arg=[call.weights(head)[0, :3].tolist() for head in heads])


def test_each_is_drawn_moved_and_noted_on_by_itself(page, two):
    two.explorers[1].state.head = 3
    see(page, 0, 3)

    fields = page.locator("textarea.attn-note-field")
    expect(fields).to_have_count(2)
    for at, text in enumerate(("of the first", "of the second")):
        page.get_by_role("button", name="Mark head").nth(at).click()
        fields.nth(at).fill(text)
        fields.nth(at).press("Control+Enter")
        expect(page.locator("ol.attn-note-list").nth(at)).to_contain_text(text)
    # Notes are a trace's: both, of the same one, show both notes on heads 0 and 3.
    page.wait_for_function(
        """() => [...Bokeh.documents[0]._all_models.values()]
          .filter((model) => model.name === "attn:marks:grid")
          .map((model) => [...model.data.x].join()).join(" ") === "-0.5,2.5 -0.5,2.5" """
    )
    settle(page)
    for explorer in two.explorers:
        assert [note.text for note in explorer.notes] == ["of the first", "of the second"]


def test_what_a_reader_changed_just_before_python_set_another_choice_stays(page, two):
    first, _ = two.explorers
    # The key comes in the task that takes Python's message, before it is taken.
    page.evaluate(
        """() => {
          const {data} = [...Bokeh.documents[0]._all_models.values()]
            .find((model) => model.data?.state?.head === 0)
          const setv = data.setv.bind(data)
          data.setv = (values, options) => {
            data.setv = setv
            const detail = {step: ["head", 2]}
            document.dispatchEvent(new CustomEvent(`attn:message:${data.explorer_id}`, {detail}))
            setv(values, options)
          }
        }"""
    )

    first.state.weight_scale = "linear"

    see(page, 2, 1)
    settle(page)
    assert (first.state.head, first.state.weight_scale) == (2, "linear")
