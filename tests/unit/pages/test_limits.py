"""What a visitor may ask for, and the one sentence beyond it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnpanel.pages.limits import RateLimit, UploadSlots
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import FileSource, PromptSource
from tests.hand_made import call, trace_of


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_minute_holds_so_many_starts_and_the_rest_are_told_how_long_to_wait():
    clock = Clock()
    limit = RateLimit(2, "prompts", clock)

    assert limit.refusal() is None
    clock.now = 20.0
    assert limit.refusal() is None
    clock.now = 30.5
    assert limit.refusal() == "A page may run 2 prompts a minute here: wait 30 s."
    clock.now = 60.0
    assert limit.refusal() is None
    assert limit.refusal() == "A page may run 2 prompts a minute here: wait 20 s."


def test_a_prompt_beyond_the_limit_is_refused_before_it_starts(monkeypatch):
    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", lambda *_, **__: trace_of(call()))
    said = []
    source = PromptSource(
        lambda *_: True, lambda *what: said.append(what), ServerSettings(max_prompts=3)
    )
    started = []
    monkeypatch.setattr(source._work, "start", lambda *_, **__: started.append(1))
    for text in "abcde":
        source._text.value_input = text
        for _ in range(3):  # the same prompt, which is still under way
            source.open()

    assert len(started) == 3
    assert [tone for tone, _ in said] == ["busy"] * 3 + ["error"] * 6
    assert said[-1][1].startswith("A page may run 3 prompts a minute here: wait ")


def test_slots_are_given_back_and_taken_from_what_stalls():
    clock, given_up = Clock(), []
    slots = UploadSlots(2, clock)
    for who in "ab":
        assert slots.refusal(who, lambda who=who: given_up.append(who)) is None
    assert slots.refusal("a", lambda: None) is None  # anew
    text = "As many files as this server takes at a time (2) are being sent: try again soon."
    assert slots.refusal("c", lambda: None) == text

    clock.now = 59.0
    slots.touch("b")
    clock.now = 60.0
    assert slots.refusal("c", lambda: None) is None
    assert slots.count == 2
    slots.release("b")
    assert slots.refusal("d", lambda: given_up.append("d")) is None
    assert given_up == []  # "a" was begun anew with a function that notes nothing


@pytest.fixture(scope="module")
def file_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "small.safetensors"
    trace_of(call(query_len=3)).save(path)
    return path.read_bytes()


def parts(content, size=500):
    for offset in range(0, len(content), size):
        chunk = content[offset : offset + size]
        message = {"name": "a", "size": len(content), "offset": offset, "chunk": chunk}
        yield SimpleNamespace(data=message)


def test_an_upload_beyond_the_limit_is_told_once_and_the_next_goes_through(file_bytes):
    settings = ServerSettings(max_uploads=1)
    shown, said = [], []
    first, second = (
        FileSource(
            lambda trace, _start: shown.append(trace) or True,
            lambda *what: said.append(what),
            settings,
        )
        for _ in range(2)
    )
    begun = list(parts(file_bytes))
    assert len(begun) > 2
    first._on_message(begun[0])
    for part in parts(file_bytes):
        second._on_message(part)

    assert [text for _, text in said] == [
        "As many files as this server takes at a time (1) are being sent: try again soon."
    ]
    for part in begun[1:]:
        first._on_message(part)
    assert len(shown) == 1
    for part in parts(file_bytes):
        second._on_message(part)
    assert len(shown) == 2
    assert settings.uploads.count == 0
