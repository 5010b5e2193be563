"""A short soak: sessions come and go, faults are injected, and every answer is NumPy's.

Bounded by counts, so that it takes as long as the machine needs and fails for no clock.
"""

from __future__ import annotations

import gc
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakSet

import numpy as np
import pytest

from attnpanel.explorer.explorer import Explorer
from attnpanel.models.toy import toy_trace
from attnpanel.pages.explorer.page import page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.ui.refusals import REFUSALS
from attnpanel.ui.worker_pool import WORKERS
from tests.hand_made import call, trace_of
from tests.soak.reader import Reader
from tests.unit.pages.serving.conftest import running
from tests.unit.pages.serving.test_sessions import drop_closed

TOY = toy_trace()
SESSIONS = 3
QUESTIONS = 5
OFFERED = {
    "plain": trace_of(call(0), call(1, heads=2, query_len=7)),
    "grouped": trace_of(call(2, heads=6, kv_heads=2, query_len=11, scale=0.7)),
}


@pytest.fixture
def prompts(monkeypatch):
    """Stands in for the model: each prompt is another trace, each second one fails."""
    made = SimpleNamespace(runs=0, trace=None)

    def trace_prompt(*_text, progress, **_options):
        made.runs += 1
        progress(0.5, "Running")
        if made.runs % 2 == 0:
            raise RuntimeError("no memory")
        made.trace = trace_of(call(made.runs + 9, query_len=5), source="prompt")
        return made.trace

    monkeypatch.setattr("attnpanel.models.prompts.trace_prompt", trace_prompt)
    return made


@pytest.fixture
def overflowing(tmp_path):
    path = tmp_path / "large.trace"
    one = call(0)
    trace_of(replace(one, query=one.query * np.float32(1e37), scale=100.0)).save(path)
    return path.read_bytes()


def explorers():
    """Every explorer that something still refers to."""
    gc.collect()
    return WeakSet(each for each in gc.get_objects() if type(each) is Explorer)


def held():
    """How many handles and threads of each name this process has."""
    threads = (each.name for each in threading.enumerate() if each.name.startswith("attnpanel"))
    return Counter(threads) + Counter(handles=len([*Path("/dev/fd").iterdir()]))


def session(server, reader, prompts, overflowing, cut):
    """Everything that a reader does in one session, faults included."""
    for _ in range(QUESTIONS):
        reader.ask()
    reader.forge()
    reader.ask()
    reader.upload(b"no trace at all" * 9)
    reader.ask()
    reader.upload(overflowing)
    reader.ask()
    reader.choose("Prompt", lambda: prompts.trace)
    for _ in range(QUESTIONS):
        reader.ask()
    reader.choose("Toy", lambda: TOY)
    reader.choose("Prompt", None)
    while WORKERS.counts != (0, 0):
        reader.ask()
    reader.ask()
    answers = reader.answers
    reader.leave(cut=cut)
    drop_closed(server)
    return answers


@pytest.mark.slow
@pytest.mark.posix
def test_sessions_with_faults_get_right_answers_and_leave_nothing(prompts, overflowing, caplog):
    caplog.set_level("WARNING", "panel")  # its records of events would keep their pages
    settings, rng = ServerSettings(traces=OFFERED), np.random.default_rng(5)
    refused, earlier = REFUSALS.count, explorers()
    with running(settings=settings, make=lambda _seen: page(settings)) as server:
        before, answers = None, 0
        for number in range(SESSIONS):
            name = list(OFFERED)[number % 2]
            reader = Reader(server.port, f"/?source=file&trace={name}", OFFERED[name], rng)
            answers += session(server, reader, prompts, overflowing, cut=number % 2 == 0)
            if before is None:
                before = held()  # the first session fills the caches
        left = len(explorers() - earlier)
        after = held()

    assert answers >= SESSIONS * (2 * QUESTIONS + 4)
    assert prompts.runs == 2 * SESSIONS
    assert REFUSALS.count - refused >= SESSIONS
    assert left == 0
    assert not after - before  # what earlier tests left may end meanwhile
    assert not [record for record in caplog.records if record.exc_info]
