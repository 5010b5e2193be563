"""A prompt's model writes on: choices from the page, tokens to it, one text at a time."""

from __future__ import annotations

import threading
from dataclasses import asdict

import pytest

from attnpanel.models import continuation
from attnpanel.models.continuation import (
    Candidate,
    Writer,
    WritingChoices,
    WrittenText,
    WrittenToken,
)
from attnpanel.pages.explorer.page import Page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import PromptSource
from attnpanel.pages.trace_sources.writing import WritingCard
from attnpanel.ui.refusals import PageInputError
from tests.hand_made import call, trace_of

CHOICES = WritingChoices(40, 0.8, 9, 1)
TOKEN = WrittenToken(
    "on", (Candidate("on", 0.75, drawn=True), Candidate("off", 0.25, drawn=False)), 2
)
WRITER = Writer("tiny", 99, 20)


class Told:
    """What a source shows and says, and what its card tells the page."""

    def __init__(self, monkeypatch, **settings):
        self.shown, self.said, self.messages, self.runs = [], [], [], []
        self.start = {}
        self.card = WritingCard("")
        self.component = self.card._component
        monkeypatch.setattr(self.component, "_send_msg", self.messages.append)
        self.source = PromptSource(
            self.show,
            lambda *what: self.said.append(what),
            ServerSettings(models=("tiny",), **settings),
            writing=self.card,
        )
        monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", self.trace_prompt)
        monkeypatch.setattr(continuation, "write_prompt", self.write_prompt)
        monkeypatch.setattr(continuation, "writer_of", lambda *_: WRITER)

    def show(self, trace, start):
        self.shown.append(trace)
        self.start = start
        return True

    def trace_prompt(self, text, **_options):
        self.runs.append(text)
        return trace_of(call(query_len=2))

    def write_prompt(self, text, model, choices, *, on_token, stopped, **options):
        self.runs.append((text, model, choices, options["max_tokens"], options["change"]))
        came = []
        while len(came) < 3 and not stopped():
            came.append(TOKEN)
            on_token(TOKEN)
        return WrittenText(trace_of(call(query_len=5)), None, tuple(came), ended=True)

    def press(self, **message):
        """Do what the page does."""
        self.component.check_message(message)
        self.component._handle_msg(message)
        finish()


def finish():
    while threads := [each for each in threading.enumerate() if each.name == "attnpanel-prompt"]:
        threads[0].join(10)


@pytest.fixture
def told(monkeypatch):
    made = Told(monkeypatch)
    made.press(connected=True)
    return made


def names(told):
    return [next(iter(message)) for message in told.messages]


def test_the_card_is_there_for_a_model_that_writes_and_only_while_its_text_is_shown(told):
    assert not told.card.view.visible

    told.source.open()
    finish()

    assert told.card.view.visible
    about = told.component.name_of_model, told.component.next_tokens, told.component.limit
    assert about == ("tiny", 99, 20)
    told.source.abandon()
    assert not told.card.view.visible


def test_each_token_is_told_and_the_text_is_shown_and_linked(told):
    told.source.restore({"prompt": "Go"})
    told.source.open()
    finish()
    told.source.restore({"change": "out,1,0"})
    told.messages.clear()

    told.press(**asdict(CHOICES))

    change = {"layer": 1, "head": 0, "scale": 0.0}
    assert told.runs[-1] == ("Go", "tiny", CHOICES, 512, change)
    assert names(told) == ["begin", "written", "written", "written", "end", "shown"]
    begin, written, *_, end, shown = told.messages
    assert (begin["text"], begin["choices"]) == ("Go", asdict(CHOICES))
    assert written["tokens"] == [asdict(TOKEN)]
    assert (len(end["tokens"]), end["ended"]) == (5, True)
    assert shown["selects"]
    # Its address writes the same: as many tokens as came.
    assert told.source.address()["write"] == "3,0.8,9,1"
    assert told.said[-1] == ("busy", "Writing …")

    told.source.restore({})
    told.source.open()
    finish()
    assert "write" not in told.source.address()


def test_a_link_writes_on_and_keeps_its_own_token(told):
    for token in ({}, {"token": "1"}):
        assert told.source.restore({"prompt": "Go", "write": "40,0.8,9,1", **token}) == []

        told.source.open()
        finish()

        assert told.runs[-1][2] == CHOICES
        assert told.messages[-1]["selects"] is (not token)
        assert told.start == ({} if token else {"query_index": 3})
    told.source.open()
    finish()
    assert told.runs[-1] == "Go"


def test_what_a_link_may_not_ask_for_is_said_and_not_done(told):
    problems = told.source.restore({"prompt": "Go", "write": "40,11,9,1"})
    assert problems == ["Temperature must be a number from 0 to 10; got 11.0."]
    told.source.open()
    finish()
    assert told.runs == ["Go"]

    without = PromptSource(lambda *_: True, lambda *_: None, ServerSettings())
    assert without.restore({"write": "40,1,9,1"}) == ["No model of this server writes on."]


@pytest.mark.parametrize(
    "message",
    [
        {"count": 501},
        {"count": 0},
        {"count": 2.5},
        {"count": None},
        {"temperature": 10.5},
        {"temperature": float("nan")},
        {"temperature": -1},
        {"top_k": 0},
        {"seed": 2**32},
        {"seed": "1"},
        {"stop": 1},
        {"model": "other"},
        [1],
    ],
)
def test_a_forged_message_is_refused_before_anything_is_done(told, message):
    sent = message if isinstance(message, list) else asdict(CHOICES) | message

    with pytest.raises(PageInputError):
        told.component.check_message(sent)


def test_a_page_whose_model_does_not_write_starts_nothing(told):
    told.press(**asdict(CHOICES))

    assert told.runs == []


def test_a_reader_stops_and_sees_what_was_written(told, monkeypatch):
    told.source.open()
    finish()
    write = told.write_prompt

    def stop_at_once(*given, on_token, **options):
        def on_first(token):
            on_token(token)
            told.component._handle_msg({"stop": True})

        return write(*given, on_token=on_first, **options)

    monkeypatch.setattr(continuation, "write_prompt", stop_at_once)
    told.press(**asdict(CHOICES))

    assert names(told)[-4:] == ["begin", "written", "end", "shown"]
    assert told.source.address()["write"] == "1,0.8,9,1"


def test_writing_counts_among_the_prompts_of_a_minute(monkeypatch):
    told = Told(monkeypatch, max_prompts=2)
    told.source.open()
    finish()
    for _ in range(3):
        told.press(**asdict(CHOICES))

    assert len(told.runs) == 2
    assert told.said[-1][1].startswith("A page may run 2 prompts a minute here: wait ")


def test_a_card_that_is_drawn_late_hears_all_of_the_text_on_screen(monkeypatch):
    told = Told(monkeypatch)
    told.source.restore({"prompt": "Go", "write": "40,0.8,9,1"})
    told.source.open()
    finish()
    assert told.messages == []

    told.press(connected=True)

    assert names(told) == ["begin", "written", "written", "written", "end", "shown"]


def test_a_refused_text_leaves_what_was_written(told, monkeypatch):
    def fail(*_, **__):
        raise ValueError("top_k must be at most 9; got 99")

    told.source.open()
    finish()
    told.press(**asdict(CHOICES))
    told.messages.clear()
    monkeypatch.setattr(continuation, "write_prompt", fail)
    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", fail)

    told.press(**asdict(CHOICES))
    told.source.open()
    finish()

    assert told.said[-1][1].startswith("Top_k must be at most 9; got 99. What was shown before")
    assert told.messages == []


def test_a_problem_after_the_first_token_clears_the_card(told, monkeypatch):
    def fail(*_, on_token, **__):
        on_token(TOKEN)
        raise ValueError("no memory")

    told.source.open()
    finish()
    monkeypatch.setattr(continuation, "write_prompt", fail)

    told.press(**asdict(CHOICES))

    assert names(told)[-3:] == ["begin", "written", "clear"]


def test_a_text_that_a_refused_one_overtakes_is_cleared(told, monkeypatch):
    def fail(*_, **__):
        raise ValueError("top_k must be at most 9; got 99")

    told.source.open()
    finish()
    writing = told.card.prepare("Go", CHOICES)
    writing.writer = WRITER
    told.card.update(writing)
    monkeypatch.setattr(continuation, "write_prompt", fail)

    told.press(**asdict(CHOICES))

    assert names(told)[-2:] == ["begin", "clear"]


def test_a_server_of_minilm_alone_has_no_card():
    assert Page(ServerSettings(), {})._writing is None
    assert Page(ServerSettings(models=("tiny", "minilm")), {})._writing is not None
