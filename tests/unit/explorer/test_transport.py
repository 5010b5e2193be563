"""ExplorerBridge: what Python hands the page that draws by itself, and what it takes from it."""

from __future__ import annotations

import base64
import threading
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document

from attnpanel.explorer import transport
from attnpanel.explorer.page_limits import MAX_BYTES, MAX_CELLS, fits
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import ExplorerBridge, choices_of
from attnpanel.explorer.wire_format import make_projections, pack_layer
from attnpanel.models.toy import toy_trace
from tests.hand_made import call, recorded, trace_of


class Page:
    """A page that says what it is told to say, and keeps what it hears."""

    def __init__(self, trace=None):
        self.state = ExplorerState(trace or trace_of(call(0), call(1)))
        self.bridge = ExplorerBridge(self.state, "x")
        self.state.param.watch(lambda *_: self.bridge.follow_state(), list(choices_of(self.state)))

    def say(self, message):
        self.bridge._on_message(SimpleNamespace(data=message))

    def tell(self, *, push=None, trace=None, **choices):
        held = self.bridge.component.state
        state = {**held, **choices, "push": push or held["push"], "trace": trace or held["trace"]}
        self.say({"state": state})

    def opened(self, *, served):
        """What a page begins with."""
        document = Document()
        if served:
            document._session_context = lambda: SimpleNamespace(server_context=None)
        return self.bridge.component._get_properties(document)["data"]


@pytest.fixture
def page():
    return Page()


# -- from Python to the page -----------------------------------------------------------------


def test_the_page_starts_with_the_whole_state_and_no_arrays(page):
    component = page.bridge.component

    assert component.meta["trace"] == component.state["trace"]
    assert [fields["layer"] for fields in component.meta["calls"]] == list(page.state.trace.layers)
    assert {name: component.state[name] for name in choices_of(page.state)} == choices_of(
        page.state
    )
    assert component.payloads == []
    assert component.layer_response == {}


def test_a_choice_set_from_python_is_pushed_and_says_that_it_is_newer(page):
    before = page.bridge.component.state["push"]
    page.state.choose(layer=1, head=1, temperature=0.5)

    held = page.bridge.component.state
    assert (held["layer"], held["head"], held["temperature"]) == (1, 1, 0.5)
    assert held["push"] > before


def test_setting_the_same_choice_again_reaches_a_page_that_moved_on(page):
    seen = []
    page.bridge.component.param.watch(lambda event: seen.append(event.new["head"]), "state")
    page.state.head = 1
    page.tell(head=0)
    page.state.head = 1

    assert seen == [1, 1]


def test_another_trace_has_another_serial_and_its_own_description(page):
    first = page.bridge.component.meta["trace"]
    page.state.trace = toy_trace(T=5)
    page.bridge.push()

    component = page.bridge.component
    assert component.meta["trace"] == component.state["trace"] != first
    assert component.meta["calls"][0]["T"] == 5
    assert component.choices["mask"] == page.state.param["mask"].objects


# -- what the page asks for --------------------------------------------------------------------


def test_a_layer_is_handed_over_as_the_trace_holds_it(page):
    serial = page.bridge.component.meta["trace"]
    page.say({"layer_request": {"trace": serial, "layer": 1}})

    layer = page.bridge.component.layer_response
    assert (layer["trace"], layer["layer"]) == (serial, 1)
    # As text: a notebook's channel loses arrays that are sent beside a message.
    packed = zlib.decompress(base64.b64decode(layer["arrays"]))
    assert packed == pack_layer(page.state.trace.calls[1])


@pytest.mark.parametrize("layer", [2, -1, "x", None, 1e99])
def test_a_layer_that_is_not_there_is_not_handed_over(page, layer):
    page.say({"layer_request": {"trace": page.bridge.component.meta["trace"], "layer": layer}})
    page.say({"layer_request": {"trace": -7, "layer": 0}})

    assert page.bridge.component.layer_response == {}


def test_a_paint_seed_is_handed_over_once(page):
    seen = []
    page.bridge.component.param.watch(lambda event: seen.append(event.new["widths"]), "projections")
    page.tell(color_seed=7)
    page.tell(color_seed=0)
    page.tell(color_seed=7)

    assert seen == [make_projections(page.state.trace, [0, 7])]


# -- from the page to Python -------------------------------------------------------------------


def test_python_follows_what_the_page_tells_and_does_not_echo_it(page):
    before = page.bridge.component.state
    page.tell(layer=1, head=1, temperature=2, mask="causal", pair=[1, 2], dark=True)

    state = page.state
    assert (state.layer, state.head, state.temperature, state.mask) == (1, 1, 2, "causal")
    assert state.pair == (1, 2)
    assert state.dark
    assert page.bridge.component.state is before


def test_what_was_told_before_python_set_something_is_too_late(page):
    old = page.bridge.component.state["push"]
    page.state.head = 1
    page.tell(push=old, head=0)
    page.tell(trace=-1, head=0)

    assert page.state.head == 1


def test_what_python_set_and_has_not_told_yet_goes_before_what_the_page_tells():
    # In a notebook another thread hears the page: between the choice and its watcher.
    page = Page()
    page.bridge.follow_state = lambda: page.tell(head=0, temperature=2)
    page.state.head = 1

    assert (page.state.head, page.state.temperature) == (1, 1)


def test_a_choice_made_while_another_thread_follows_the_page_is_told():
    page = Page()
    before = page.bridge.component.state["push"]

    def choose(event):
        if event.new == 1:  # what the page told; a cell's thread sets another one meanwhile
            thread = threading.Thread(target=setattr, args=(page.state, "mask", "causal"))
            thread.start()
            thread.join(timeout=0.5)  # it waits for what the page told
            threads.append(thread)

    threads = []
    page.state.param.watch(choose, "head")
    page.tell(head=1)
    threads[0].join()

    held = page.bridge.component.state
    assert held["push"] > before
    assert (held["head"], held["mask"]) == (1, "causal")


def test_a_choice_that_param_tells_the_following_thread_of_is_told_to_the_page():
    page = Page()
    # Param queues what another thread sets meanwhile, and has the first thread tell of all.
    page.state.param.watch(lambda *_: setattr(page.state, "mask", "causal"), "head")
    page.tell(head=1)

    held = page.bridge.component.state
    assert (held["head"], held["mask"]) == (1, "causal")


def test_what_python_sets_just_before_the_page_moves_another_choice_stays(page, monkeypatch):
    choose = page.state.choose

    def choose_late(**choices):
        page.state.head = 1
        choose(**choices)

    monkeypatch.setattr(page.state, "choose", choose_late)
    page.tell(temperature=2)

    held = page.bridge.component.state
    assert (page.state.head, page.state.temperature) == (1, 2)
    assert (held["head"], held["temperature"]) == (1, 2)


def test_what_a_reader_chose_while_python_set_another_choice_stays(page):
    old = page.bridge.component.state["push"]
    page.state.head = 1
    page.tell(push=old, head=0, temperature=2)
    page.tell(push=old, head=0, temperature=3)

    sent = page.bridge.component.state
    assert (page.state.head, page.state.temperature) == (1, 3)
    assert (sent["head"], sent["temperature"]) == (1, 3)


def test_a_theme_chosen_while_python_set_another_trace_stays(page):
    old, trace = (page.bridge.component.state[name] for name in ("push", "trace"))
    page.state.trace = trace_of(call(0))
    page.bridge.follow_state()
    page.tell(push=old, trace=trace, dark=True, temperature=2)

    assert (page.state.dark, page.state.temperature) == (True, 1)
    assert page.bridge.component.state["dark"]


def test_a_page_that_opened_late_is_told_what_it_missed(page):
    first = page.bridge.component.state
    page.say({"connected": {"trace": first["trace"], "push": first["push"]}})
    assert page.bridge.component.state is first

    page.say({"connected": {"trace": first["trace"], "push": first["push"] - 1}})
    again = page.bridge.component.state
    assert again["push"] > first["push"]
    assert again["trace"] == first["trace"]

    page.say({"connected": {"trace": first["trace"] - 1, "push": again["push"]}})
    assert page.bridge.component.state["trace"] == page.bridge.component.meta["trace"]
    assert page.bridge.component.meta["trace"] != first["trace"]


# -- what a page begins with -----------------------------------------------------------------


def test_a_page_opened_once_more_begins_where_the_other_is(page):
    page.tell(head=1)

    assert page.bridge.component.state["head"] == 0
    assert page.opened(served=True).state["head"] == 1


def test_a_notebook_cell_holds_a_small_traces_numbers_as_they_are_and_a_served_page_none(page):
    cell, served = page.opened(served=False), page.opened(served=True)

    assert (served.payloads, served.meta.get("embedded")) == ([], None)
    assert cell.meta["embedded"]
    assert cell.meta["trace"] == served.meta["trace"]
    assert [zlib.decompress(base64.b64decode(text)) for text in cell.payloads] == [
        pack_layer(one) for one in page.state.trace.calls
    ]


@pytest.mark.parametrize(
    ("exact", "half", "dtypes"),
    [(10**9, 10**9, ["float32"] * 2), (0, 10**9, ["float16"] * 2), (0, 0, None)],
    ids=["small", "as float16", "too large"],
)
def test_a_larger_trace_is_stored_narrower_and_the_largest_not_at_all(
    page, monkeypatch, exact, half, dtypes
):
    monkeypatch.setattr(transport, "MAX_EXACT_BYTES", exact)
    monkeypatch.setattr(transport, "MAX_EMBEDDED_BYTES", half)

    cell = page.opened(served=False)

    assert bool(cell.payloads) == bool(dtypes)
    if dtypes:
        assert [fields["dtype"] for fields in cell.meta["calls"]] == dtypes


def test_a_layer_that_python_computes_for_the_page_stays_out(page, monkeypatch):
    monkeypatch.setattr("attnpanel.explorer.page_limits.MAX_CELLS", 1)

    assert page.opened(served=False).payloads == []


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"state": None},
        {"state": {}},
        {"state": 5, "layer_request": 5},
        {"unknown": 1},
    ],
)
def test_a_message_of_another_kind_changes_nothing(page, message):
    before = choices_of(page.state)
    page.say(message)

    assert choices_of(page.state) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head", 99),
        ("head", "1"),
        ("temperature", -1),
        ("mask", "<script>"),
        ("pair", [1]),
        ("pair", ["x", "y"]),
        ("pair", [-5, 0]),
        ("viewport", [0, 1, 2, float("nan")]),
        ("viewport", 3),
    ],
)
def test_a_choice_that_does_not_exist_is_not_taken(page, name, value):
    before = getattr(page.state, name)
    page.tell(**{name: value})

    assert getattr(page.state, name) == before
    page.state.aggregate = True
    assert page.bridge.component.state["aggregate"]  # it is still told what follows


# -- what a page can hold ----------------------------------------------------------------------


def held(query_len, key_len, width):
    """A call of that size, of which no number is ever touched."""
    queries = np.broadcast_to(np.float32(0), (1, 1, query_len, width))
    keys = np.broadcast_to(np.float32(0), (1, 1, key_len, width))
    return SimpleNamespace(
        query_len=query_len,
        key_len=key_len,
        query=queries,
        key=keys,
        value=None,
        recorded_weights=None,
        outputs=None,
    )


@pytest.mark.parametrize(
    ("one", "small_enough"),
    [
        (held(4096, MAX_CELLS // 4096, 64), True),
        (held(4096, MAX_CELLS // 4096 + 1, 64), False),
        (held(1, 1, MAX_BYTES // 8), True),
        (held(1, 1, MAX_BYTES // 8 + 1), False),
    ],
)
def test_a_layer_is_handed_over_if_a_page_can_hold_it(one, small_enough):
    assert fits(one) == small_enough
    assert fits(recorded(0))
