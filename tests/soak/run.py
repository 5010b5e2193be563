"""A long soak of the server: ``python -m tests.soak.run [--minutes 30] [-o FILE.json]``.

Readers come and go, and so do faults: forged messages, damaged and overflowing files, foreign
hosts, connections cut in a message. Every row of weights that the server answers is compared with
NumPy's in float64. After each round all pages are closed, and the server's memory, threads and
handles are read when it has dropped them. Fails if an answer is wrong, if the server's log has a
traceback, or if what it holds grows. A round has 30 sessions, 20 of which run a prompt, and 2
reports; every second round trains a model.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.measure.environment import describe
from attnpanel.bench.measure.process_use import memory_of, threads_of
from attnpanel.models.prompts import trace_prompt
from attnpanel.training.store import RunStore
from tests.hand_made import call, trace_of
from tests.page_socket import PageSocket, request
from tests.soak.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.trace import Trace

AT_A_TIME = 3
SESSIONS, PROMPTS, REPORTS = 30, 20, 2  # a round
ANSWERS = 6  # checked rows a part of a session
LOOK_S = 2.0
SENTENCES = (
    "The trophy does not fit because it is too large.",
    "A cat sat on the mat.",
    "She said that he left.",
    "Numbers like 1024 are words, too.",
)
# What may differ between two rounds without being a leak, as a part of what the server held.
MOST_GROWTH = 0.1


@dataclass
class Sample:
    """What the server held at a time."""

    minute: float
    memory_mb: float
    threads: int
    handles: int
    sessions: int


@dataclass
class Soak:
    """What was done and seen; `settled` are the samples after each round, with no page open."""

    rounds: int = 0
    done: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    settled: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)

    def count(self, what: str, times: int = 1) -> None:
        """Count something that was done."""
        self.done[what] = self.done.get(what, 0) + times


class Server:
    """`attnpanel serve` in a process of its own."""

    def __init__(self, folder: Path, traces: list[Path]) -> None:
        self.log, self.runs = folder / "log", folder / "runs.sqlite3"
        command = [sys.executable, "-m", "attnpanel", "serve", *map(str, traces), "--port", "0"]
        command += ["--runs", str(self.runs), "--max-prompts", "1000", "--max-sessions", "1000"]
        with self.log.open("w") as file:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=file, text=True, env=os.environ.copy()
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("attnpanel: http://"), self.log.read_text()
        self.port = int(line.strip().strip("/").rpartition(":")[2])
        self.started = time.monotonic()

    def health(self) -> dict[str, Any]:
        """Return what `/health` says."""
        answer = request(self.port, f"Host: localhost:{self.port}", "/health")
        return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))

    def sample(self) -> Sample:
        """Look at the process."""
        pid = self.process.pid
        return Sample(
            minute=round((time.monotonic() - self.started) / 60, 3),
            memory_mb=round((memory_of(pid, "VmRSS") or 0) / 1e6, 1),
            threads=threads_of(pid) or 0,
            handles=len([*Path(f"/proc/{pid}/fd").iterdir()]),
            sessions=self.health()["sessions"]["open"],
        )


@contextmanager
def watched(server: Server, soak: Soak) -> Iterator[None]:
    """Sample the server every two seconds for as long as a block runs."""
    end = threading.Event()

    def look() -> None:
        while not end.wait(LOOK_S):
            soak.samples.append(server.sample())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


class Round:
    """The sessions of a round, each made of a number, so that each kind comes equally often."""

    def __init__(self, server: Server, soak: Soak, files: dict[str, Trace], bad: bytes) -> None:
        self._server, self._soak, self._files, self._bad = server, soak, files, bad
        self._prompts = {text: trace_prompt(text) for text in SENTENCES}
        self._lock = threading.Lock()

    def session(self, number: int) -> None:
        """Everything that one reader does; what goes wrong is noted."""
        try:
            self._session(number, np.random.default_rng(number))
        except Exception as error:  # noqa: BLE001 - every problem is to be seen, and the soak goes on
            with self._lock:
                problem = f"session {number}: {type(error).__name__}: {str(error)[:300]}"
                self._soak.problems.append(problem)
                print(f"soak: {problem}", flush=True)  # noqa: T201

    def _session(self, number: int, rng: np.random.Generator) -> None:
        at = number % SESSIONS
        if at < PROMPTS:
            text = SENTENCES[number % len(SENTENCES)]
            address = f"/?source=prompt&prompt={text.replace(' ', '%20')}"
            reader = Reader(self._server.port, address, self._prompts[text], rng, later=True)
        else:
            name = list(self._files)[number % len(self._files)]
            address = f"/?source=file&trace={name}.safetensors"
            reader = Reader(self._server.port, address, self._files[name], rng)
        for _ in range(ANSWERS):
            reader.ask()
        reader.forge()
        if at >= PROMPTS:  # where there is a field for files
            reader.upload(b"no trace at all" * 9 if number % 2 else self._bad)
        for _ in range(ANSWERS):
            reader.ask()
        report = at in range(PROMPTS, PROMPTS + REPORTS)
        if report:
            assert reader.download().startswith(b"<!DOCTYPE html>")
        foreign = request(self._server.port, "Host: evil.example")
        assert b" 403 " in foreign.partition(b"\r\n")[0]
        reader.leave(cut=number % 2 == 0)
        with self._lock:
            self._soak.count("sessions")
            self._soak.count("checked rows", reader.answers)
            self._soak.count("forged messages")
            self._soak.count("bad files", int(at >= PROMPTS))
            self._soak.count("foreign hosts")
            self._soak.count("prompts", int(at < PROMPTS))
            self._soak.count("reports", int(report))
            self._soak.count("cut connections", int(number % 2 == 0))

    def train(self) -> None:
        """Start a training on the lab's page and leave it; it goes on."""
        lab = PageSocket(self._server.port, "/lab")
        values = {"type": "map", "entries": [["model", {"id": lab.find(label="Start")}]]}
        click = {"type": "event", "name": "button_click", "values": values}
        lab.patch({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": click})
        lab.close()
        self._soak.count("trainings")

    def until_settled(self) -> Sample:
        """Wait until no page is open and nothing runs; return what the server holds then."""
        store = RunStore(self._server.runs)
        while True:
            seen = self._server.health()
            running = any(run.state in ("waiting", "running") for run in store.runs())
            if seen["sessions"]["open"] == 0 and seen["queue"]["running"] == 0 and not running:
                return self._server.sample()
            time.sleep(LOOK_S)


def soak(minutes: float, rounds: int) -> Soak:
    """Run so many rounds, and more until so many minutes have passed."""
    done = Soak(environment=asdict(describe("no browser")))
    with tempfile.TemporaryDirectory() as folder:
        traces = {
            "plain": trace_of(call(0), call(1, heads=2, query_len=7)),
            "grouped": trace_of(call(2, heads=6, kv_heads=2, query_len=11, scale=0.7)),
        }
        paths = [Path(folder) / f"{name}.safetensors" for name in traces]
        for trace, path in zip(traces.values(), paths, strict=True):
            trace.save(path)
        large, bad = call(0), Path(folder) / "overflowing.safetensors"
        trace_of(replace(large, query=large.query * np.float32(1e37), scale=100.0)).save(bad)
        server = Server(Path(folder), paths)
        try:
            with watched(server, done):
                _rounds(server, done, traces, bad.read_bytes(), minutes, rounds)
        finally:
            server.process.send_signal(signal.SIGTERM)
            status = server.process.wait(timeout=60)
        if status:
            done.problems.append(f"the server ended with {status}")
        if "Traceback" in (text := server.log.read_text()):
            done.problems.append(f"the server's log: {text[:2000]}")
    done.problems += growth(done.settled)
    return done


def _rounds(
    server: Server,
    done: Soak,
    traces: dict[str, Trace],
    bad: bytes,
    minutes: float,
    rounds: int,
) -> None:
    one = Round(server, done, traces, bad)
    while done.rounds < rounds or time.monotonic() - server.started < 60 * minutes:
        if done.rounds % 2 == 0:
            one.train()
        first = done.rounds * SESSIONS
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(one.session, range(first, first + SESSIONS)))
        done.settled.append(one.until_settled())
        done.rounds += 1
        print(f"soak: round {done.rounds}: {done.settled[-1]} {done.done}", flush=True)  # noqa: T201


def growth(settled: list[Sample]) -> list[str]:
    """Say what grew from the second round, after which caches are full, to the last."""
    first, last = settled[1], settled[-1]
    said = []
    for name in ("memory_mb", "threads", "handles"):
        before, after = getattr(first, name), getattr(last, name)
        if after > before * (1 + MOST_GROWTH):
            said.append(f"{name} grew from {before} to {after}")
    return said


def draw(done: Soak, path: Path, *, dark: bool) -> None:
    """Draw what the server held over the minutes; dots are the samples between two rounds."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    rows = {
        "memory_mb": "memory, MB",
        "threads": "threads",
        "handles": "open files",
        "sessions": "open pages",
    }
    with plt.style.context("dark_background" if dark else "default"):
        shape = {"figsize": (8, 6), "sharex": True, "layout": "constrained"}
        figure, axes = plt.subplots(len(rows), 1, **shape)
        for axis, (name, label) in zip(axes, rows.items(), strict=True):
            for samples, style in ((done.samples, "-"), (done.settled, "o")):
                seen = [(one.minute, getattr(one, name)) for one in samples]
                axis.plot(*zip(*seen, strict=True), style, lw=0.8, ms=4)
            axis.set_ylabel(label)
            axis.set_ylim(bottom=0)
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1].set_xlabel("minutes; dots: all pages closed")
        figure.savefig(path)


def main() -> int:
    """Run the soak; return how many problems there were."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=10, help="at least; no fewer than 3")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", help="for soak-light.svg and soak-dark.svg"
    )
    options = parser.parse_args()
    done = soak(options.minutes, max(options.rounds, 3))
    if options.output:
        options.output.write_text(json.dumps(asdict(done), indent=1) + "\n")
    for theme in ("light", "dark") if options.pictures else ():
        draw(done, options.pictures / f"soak-{theme}.svg", dark=theme == "dark")
    for problem in done.problems:
        print(f"soak: PROBLEM {problem}")  # noqa: T201 - a command's output
    return len(done.problems)


if __name__ == "__main__":
    sys.exit(main())
