"""The pool of threads: bounded, in order, one running and one waiting an owner, each told."""

from __future__ import annotations

import threading
from queue import Queue

import pytest

from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.worker_pool import Work, WorkerPool, place_text


class Job:
    """A work that waits to be let go, and notes what it was told."""

    def __init__(self, owner, began):
        self.go, self.told = threading.Event(), []
        self.work = Work(owner, "attnpanel-test", self._run, self.told.append)
        self._began = began

    def _run(self):
        self._began.put(self)
        assert self.go.wait(60)


@pytest.fixture
def began():
    return Queue()


def test_no_more_run_than_the_size_and_the_rest_are_told_their_place(began):
    pool = WorkerPool(2)
    jobs = [Job(owner, began) for owner in range(5)]
    for job in jobs:
        pool.submit(job.work)
    first = {began.get(timeout=300), began.get(timeout=300)}

    assert first == set(jobs[:2])
    assert pool.counts == (2, 3)
    assert [job.told for job in jobs] == [[], [], [0], [1], [2]]

    jobs[1].go.set()
    assert began.get(timeout=300) is jobs[2]
    assert [job.told for job in jobs[3:]] == [[1, 0], [2, 1]]
    for job in jobs:
        job.go.set()
    # Two threads start them at a time.
    assert {began.get(timeout=300), began.get(timeout=300)} == set(jobs[3:])
    assert began.empty()


def test_an_owner_has_one_running_and_one_waiting_in_its_place(began):
    pool = WorkerPool(2)
    running, *mine, last = (Job("me", began) for _ in range(61))
    pool.submit(running.work)
    assert began.get(timeout=300) is running
    others = [Job(owner, began) for owner in ("a", "b")]
    pool.submit(mine[0].work)
    for job in others:
        pool.submit(job.work)
    assert began.get(timeout=300) is others[0]  # the owner's second one does not hold up others
    for job in [*mine[1:], last]:
        pool.submit(job.work)

    assert pool.counts == (2, 2)
    running.go.set()
    assert began.get(timeout=300) is last
    for job in [last, *others]:
        job.go.set()
    assert began.get(timeout=300) is others[1]
    assert not any(job.go.is_set() for job in mine)
    assert began.empty()


def test_what_is_withdrawn_never_runs_and_a_larger_pool_starts_what_waits(began):
    pool = WorkerPool(1)
    jobs = [Job(owner, began) for owner in range(4)]
    for job in jobs:
        pool.submit(job.work)
    assert began.get(timeout=300) is jobs[0]

    pool.withdraw(1)
    assert jobs[2].told == [1, 0]
    pool.size = 2
    assert began.get(timeout=300) is jobs[2]
    for job in jobs:
        job.go.set()
    assert began.get(timeout=300) is jobs[3]
    assert began.empty()


def test_sixty_presses_run_the_first_and_the_last_and_end_what_is_superseded(monkeypatch):
    monkeypatch.setattr("attnpanel.ui.background_task.WORKERS", WorkerPool(4))
    task, begun, said = LatestTask("attnpanel-test", "prompt"), Queue(), Queue()
    go = threading.Event()

    def press(number):
        def work(on_progress):
            begun.put(number)
            assert go.wait(60)
            on_progress("half")  # ends here if a newer one has replaced it
            begun.put(f"{number} went on")
            return number

        task.start(work, on_done=said.put, on_error=said.put, on_progress=said.put)

    for number in range(60):
        press(number)
    assert begun.get(timeout=300) == 0
    go.set()

    assert [begun.get(timeout=300) for _ in range(2)] == [59, "59 went on"]
    told = [said.get(timeout=300) for _ in range(59 + 2)]
    assert told == [*[place_text(0, "prompt")] * 59, "half", 59]
    assert begun.empty()


def test_of_progress_that_comes_faster_than_a_sessions_turns_the_newest_is_reported(monkeypatch):
    monkeypatch.setattr("attnpanel.ui.background_task.WORKERS", WorkerPool(1))
    turns = Queue()
    monkeypatch.setattr("attnpanel.ui.background_task.SessionScheduler", lambda: turns.put)
    task, said, go = LatestTask("attnpanel-test"), [], threading.Event()

    def work(on_progress):
        for step in range(100):
            on_progress(f"step {step}")
        assert go.wait(60)
        on_progress("last step")

    task.start(work, on_done=said.append, on_error=said.append, on_progress=said.append)
    report = turns.get(timeout=300)
    go.set()
    end = turns.get(timeout=300)
    report()
    end()

    assert said == ["last step", None]
    assert turns.empty()


def test_what_is_abandoned_while_it_waits_is_dropped(monkeypatch):
    pool = WorkerPool(1)
    monkeypatch.setattr("attnpanel.ui.background_task.WORKERS", pool)
    began = Queue()
    other = Job("other", began)
    pool.submit(other.work)
    task = LatestTask("attnpanel-test")
    task.start(began.put, on_done=began.put, on_error=began.put, on_progress=began.put)
    assert pool.counts == (1, 1)

    task.abandon()

    assert pool.counts == (1, 0)
    other.go.set()
