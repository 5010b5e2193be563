"""Where a page's trace comes from: the toy, a prompt, a file; and the page that lets one choose."""

import threading

import numpy as np
import pytest

from attnpanel.models.toy import toy_trace
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import FileSource, ToySource
from tests.hand_made import call, trace_of


def test_the_toy_is_the_notebooks_and_a_link_names_its_numbers(reader):
    chooser = ToySource(reader.show, reader.say)

    chooser.open()

    ((trace, start),) = reader.shown
    np.testing.assert_array_equal(trace.calls[0].query, toy_trace().calls[0].query)
    assert start == {}
    assert chooser.address() == {"T": "8", "d_model": "8", "heads": "4", "seed": "42"}


def test_each_number_makes_another_toy_at_once(reader):
    chooser = ToySource(reader.show, reader.say)

    for name, value in (("T", 5), ("d_model", 12), ("heads", 3), ("seed", 7)):
        chooser._inputs[name].value = value

    trace = reader.shown[-1][0]
    expected = toy_trace(5, 12, 3, 7)
    np.testing.assert_array_equal(trace.calls[0].query, expected.calls[0].query)
    assert len(reader.shown) == 4


@pytest.mark.parametrize(
    ("name", "value"), [("T", 30_000), ("T", 0), ("heads", 65), ("seed", 2**31)]
)
def test_a_number_beyond_its_bounds_starts_nothing_whoever_sets_it(
    reader, monkeypatch, name, value
):
    chooser = ToySource(reader.show, reader.say)
    monkeypatch.setattr("attnpanel.pages.trace_sources.toy.toy_trace", None)

    chooser._inputs[name].value = value

    ((tone, text),) = reader.said
    assert tone == "error"
    assert text.startswith(f"{name} must be a whole number from ")
    assert reader.shown == []


def test_a_large_toy_and_a_large_file_are_made_in_a_thread(reader, monkeypatch, file_bytes):
    here, done = threading.get_ident(), threading.Event()
    made_in = []

    def noted(*_arguments, **_options):
        made_in.append(threading.get_ident())
        return trace_of(call())

    def show(_trace, _start):
        done.set()
        return True

    monkeypatch.setattr("attnpanel.pages.trace_sources.toy.toy_trace", noted)
    monkeypatch.setattr("attnpanel.pages.trace_sources.file.Trace.from_bytes", noted)
    monkeypatch.setattr("attnpanel.pages.trace_sources.file.MAX_IN_LOOP", 1)
    toy = ToySource(show, reader.say)
    toy._inputs["d_model"].value = 1024
    made_in.clear()
    toy._inputs["T"].value = 2048
    assert done.wait(60)
    done.clear()
    FileSource(show, reader.say, ServerSettings())._open_bytes(file_bytes, "f")
    assert done.wait(60)

    assert len(made_in) == 2
    assert here not in made_in


def test_a_width_that_heads_do_not_divide_is_said_and_nothing_is_shown(reader):
    chooser = ToySource(reader.show, reader.say)

    chooser._inputs["d_model"].value = 9

    assert reader.shown == []
    ((tone, text),) = reader.said
    assert tone == "error"
    assert text == "d_model must be a multiple of heads; got 9 and 4. Choose other numbers."


def test_an_emptied_number_is_asked_for(reader):
    chooser = ToySource(reader.show, reader.say)

    chooser._inputs["T"].value = None

    assert reader.shown == []
    assert reader.said == [("error", "Each of T, d_model, heads and seed must be a whole number.")]


@pytest.mark.parametrize(
    "text", ["0", "-1", "2049", "9" * 400, "1e3", "", "x", "²", "٣x", " 5", "0" * 11 + "8" * 8]
)
def test_a_hostile_number_in_a_link_is_said_and_left_as_it_was(reader, text):
    chooser = ToySource(reader.show, reader.say)

    (said,) = chooser.restore({"T": text, "seed": "7"})

    assert (chooser._inputs["T"].value, chooser._inputs["seed"].value) == (8, 7)
    assert reader.shown == []
    assert said.startswith("T must be a whole number from 1 to 2048; got ")
    assert len(said) < 120
