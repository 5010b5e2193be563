"""Feed: what Python hands the page that draws by itself, and what it takes from it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from attnpanel.feed import MOST_BYTES, MOST_CELLS, Feed, choices_of, fits
from attnpanel.payload import make_projections, pack_layer
from attnpanel.sources.toy import toy_trace
from attnpanel.state import ExplorerState
from tests.hand_made import call, recorded, trace_of


class Page:
    """A page that says what it is told to say, and keeps what it hears."""

    def __init__(self, trace=None):
        self.state = ExplorerState(trace or trace_of(call(0), call(1)))
        self.addresses, self.failures = [], []
        self.feed = Feed(self.state, "x", told=self.addresses.append, failed=self.failures.append)

    def say(self, message):
        self.feed._on_message(SimpleNamespace(data=message))

    def tell(self, *, address="layer=0", push=None, trace=None, **choices):
        held = self.feed.component.state
        state = {**held, **choices, "push": push or held["push"], "trace": trace or held["trace"]}
        self.say({"state": state, "address": address})


@pytest.fixture
def page():
    return Page()


# -- from Python to the page -----------------------------------------------------------------


def test_the_page_starts_with_the_whole_state_and_no_arrays(page):
    component = page.feed.component

    assert component.meta["trace"] == component.state["trace"]
    assert [fields["layer"] for fields in component.meta["calls"]] == list(page.state.trace.layers)
    assert {name: component.state[name] for name in choices_of(page.state)} == choices_of(
        page.state
    )
    assert component.payloads == []
    assert component.supply == {}


def test_a_choice_set_from_python_is_pushed_and_says_that_it_is_newer(page):
    before = page.feed.component.state["push"]
    page.state.choose(layer=1, head=1, temperature=0.5)
    page.feed.push()

    held = page.feed.component.state
    assert (held["layer"], held["head"], held["temperature"]) == (1, 1, 0.5)
    assert held["push"] > before


def test_setting_the_same_choice_again_reaches_a_page_that_moved_on(page):
    seen = []
    page.feed.component.param.watch(lambda event: seen.append(event.new["head"]), "state")
    page.state.head = 1
    page.feed.push()
    page.tell(head=0)
    page.state.head = 1
    page.feed.push()

    assert seen == [1, 1]


def test_another_trace_has_another_serial_and_its_own_description(page):
    first = page.feed.component.meta["trace"]
    page.state.trace = toy_trace(T=5)
    page.feed.push()

    component = page.feed.component
    assert component.meta["trace"] == component.state["trace"] != first
    assert component.meta["calls"][0]["T"] == 5
    assert component.choices["mask"] == page.state.param["mask"].objects


# -- what the page asks for --------------------------------------------------------------------


def test_a_layer_is_handed_over_as_the_trace_holds_it(page):
    serial = page.feed.component.meta["trace"]
    page.say({"need": {"trace": serial, "layer": 1}})

    supply = page.feed.component.supply
    assert (supply["trace"], supply["layer"]) == (serial, 1)
    assert supply["arrays"] == pack_layer(page.state.trace.calls[1])


@pytest.mark.parametrize("layer", [2, -1, "x", None, 1e99])
def test_a_layer_that_is_not_there_is_not_handed_over(page, layer):
    page.say({"need": {"trace": page.feed.component.meta["trace"], "layer": layer}})
    page.say({"need": {"trace": -7, "layer": 0}})

    assert page.feed.component.supply == {}


def test_a_paint_seed_is_handed_over_once(page):
    seen = []
    page.feed.component.param.watch(lambda event: seen.append(event.new["widths"]), "projections")
    page.tell(color_seed=7)
    page.tell(color_seed=0)
    page.tell(color_seed=7)

    assert seen == [make_projections(page.state.trace, [0, 7])]


# -- from the page to Python -------------------------------------------------------------------


def test_python_follows_what_the_page_tells_and_does_not_echo_it(page):
    before = page.feed.component.state
    following = []
    page.state.param.watch(lambda *_: following.append(page.feed.following), ["head"])
    page.tell(layer=1, head=1, temperature=2, mask="causal", pair=[1, 2], address="layer=1&head=1")

    state = page.state
    assert (state.layer, state.head, state.temperature, state.mask) == (1, 1, 2, "causal")
    assert state.pair == (1, 2)
    assert page.addresses == ["layer=1&head=1"]
    assert following == [True]
    assert not page.feed.following
    assert page.feed.component.state is before


def test_what_was_told_before_python_set_something_is_too_late(page):
    old = page.feed.component.state["push"]
    page.state.head = 1
    page.feed.push()
    page.tell(push=old, head=0)
    page.tell(trace=-1, head=0)

    assert page.state.head == 1
    assert page.addresses == []


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"state": None},
        {"state": {}},
        {"state": 5, "need": 5},
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
    assert not page.feed.following


def test_what_the_page_cannot_show_is_said_at_no_more_than_a_paragraphs_length(page):
    page.say({"failed": "x" * 10_000})

    assert [len(text) for text in page.failures] == [500]


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
    )


@pytest.mark.parametrize(
    ("one", "small_enough"),
    [
        (held(4096, MOST_CELLS // 4096, 64), True),
        (held(4096, MOST_CELLS // 4096 + 1, 64), False),
        (held(1, 1, MOST_BYTES // 8), True),
        (held(1, 1, MOST_BYTES // 8 + 1), False),
    ],
)
def test_python_draws_what_is_too_large_for_a_page(one, small_enough):
    assert fits(SimpleNamespace(calls=[one])) == small_enough
    assert fits(trace_of(recorded(0)))
