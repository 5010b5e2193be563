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
from attnpanel.pages.explorer.page import SOURCES, page
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.ui.refusals import REFUSALS
from attnpanel.ui.worker_pool import WORKERS
from tests.hand_made import call, trace_of
from tests.page_socket import PageSocket
from tests.unit.pages.serving.conftest import running
from tests.unit.pages.serving.test_sessions import drop_closed

TOY = toy_trace()
SESSIONS = 3
QUESTIONS = 5
OFFERED = {
    "plain": trace_of(call(0), call(1, heads=2, query_len=7)),
    "grouped": trace_of(call(2, heads=6, kv_heads=2, query_len=11, scale=0.7)),
}


def expected_row(one, head, query, mask, temperature):
    """One row of weights by the formula, in float64."""
    shared = head // (one.heads // one.kv_heads)
    scores = one.scale * one.key[0, shared].astype("f8") @ one.query[0, head, query].astype("f8")
    if mask == "causal":
        scores[query + 1 :] = -np.inf
    powers = np.exp((scores - scores.max()) / temperature)
    return powers / powers.sum()


class Reader:
    """A reader of one session; checks each answer."""

    def __init__(self, port, name, rng):
        self._socket = PageSocket(port, f"/?source=file&trace={name}")
        self._driver, data = self._socket.component("BrowserDriver")
        self._serial = self._socket.value(data, "meta")["trace"]
        self._trace, self._rng, self._number = OFFERED[name], rng, 0
        self.answers = 0

    def ask(self):
        """Ask for a row of the trace on screen and compare it."""
        layer = int(self._rng.integers(len(self._trace.calls)))
        one = self._trace.calls[layer]
        head, query = (int(self._rng.integers(most)) for most in (one.heads, one.query_len))
        mask = str(self._rng.choice(["none", "causal"]))
        temperature = float(self._rng.choice([0.1, 1.0, 3.0]))
        self._number += 1
        state = {"layer": layer, "head": head, "query_index": query, "mask": mask}
        question = {
            "kind": "row",
            "id": self._number,
            "layers": [layer],
            "trace": self._serial,
            "state": state | {"temperature": temperature},
        }
        self._socket.send(self._driver, {"ask": question})
        answer = self._socket.awaited("answer")
        assert answer["id"] == self._number
        np.testing.assert_allclose(
            np.frombuffer(answer["weights"], np.float32),
            expected_row(one, head, query, mask, temperature),
            rtol=1e-5,  # float32 scores of up to 10, at temperatures from 0.1
            atol=1e-6,
        )
        self.answers += 1

    def choose(self, source, trace):
        """Choose a source, which opens a trace; None is a source that fails."""
        tabs = self._socket.find(labels=list(SOURCES))
        self._socket.change(tabs, "active", SOURCES.index(source))
        if trace is not None:
            self._serial = self._socket.awaited("meta")["trace"]
            self._trace = trace()

    def upload(self, content):
        """Send a file in one part and wait for what is said of it."""
        upload, _ = self._socket.component("Upload")
        self._socket.send(
            upload, {"name": "f", "size": len(content), "offset": 0, "chunk": content}
        )

    def forge(self):
        """Send what no page sends."""
        self._socket.change(self._socket.find(labels=list(SOURCES)), "active", 99)

    def leave(self, *, cut):
        """Close the page; or lose the connection in the middle of a message."""
        if cut:
            self._socket.raw('{"msgid": "1", "msgtype": "PATCH-DOC"}')
        self._socket.close()


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
            reader = Reader(server.port, list(OFFERED)[number % 2], rng)
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
