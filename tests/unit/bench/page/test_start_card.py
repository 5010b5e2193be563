from __future__ import annotations

import threading

import pytest

from attnpanel.bench.page import start_card
from attnpanel.bench.page.start_card import Starter, format_progress
from attnpanel.bench.run.progress import Progress
from tests.unit.bench.run.sample_runs import sample_run

LIMIT_S = 20


class FakeRun:
    """Stands for the bench's `run`: tells one step, then waits to be cancelled or let go."""

    def __init__(self):
        self.reported, self.go_on, self.plans = threading.Event(), threading.Event(), []

    def __call__(self, plan, *, progress, cancelled):
        self.plans.append(plan)
        progress(Progress(3, 12, "certify numpy-naive", 61.0))
        self.reported.set()
        while not (cancelled.is_set() or self.go_on.wait(0.01)):
            pass
        return sample_run()


@pytest.fixture
def fake(monkeypatch):
    fake = FakeRun()
    monkeypatch.setattr(start_card, "run_plan", fake)
    monkeypatch.setattr(start_card, "_BUSY", threading.Lock())
    return fake


@pytest.fixture
def shown():
    return []


@pytest.fixture
def starter(fake, shown):
    return Starter(shown.append)


def ended(starter):
    """Wait for the run's thread, which acts at once where there is no page."""
    for thread in threading.enumerate():
        if thread.name == "attnpanel-bench-run":
            thread.join(LIMIT_S)
    assert not starter.start_button.disabled


def test_a_run_reports_progress_and_is_shown_at_its_end(starter, fake, shown):
    starter.start()
    assert fake.reported.wait(LIMIT_S)

    assert starter.progress.text == "3 of 12 · certify numpy-naive · about 61 s left"
    assert (starter.progress.done, starter.progress.total) == (3, 12)
    assert starter.start_button.disabled
    assert starter.cancel_button.visible
    fake.go_on.set()
    ended(starter)
    assert shown == [sample_run()]
    assert starter.progress.text == "Done."
    assert not starter.cancel_button.visible


def test_a_cancelled_run_shows_its_results_so_far(starter, fake, shown, monkeypatch):
    starter.start()
    assert fake.reported.wait(LIMIT_S)

    starter.cancel()
    ended(starter)

    assert len(shown) == 1


def test_a_second_run_at_the_same_time_is_refused(starter, fake, shown):
    starter.start()
    assert fake.reported.wait(LIMIT_S)
    second = Starter(shown.append)

    second.start()

    assert "Another run is going on here" in second.progress.text
    assert not second.start_button.disabled
    fake.go_on.set()
    ended(starter)
    assert len(fake.plans) == 1


def test_a_failed_run_is_reported_and_the_next_one_starts(starter, fake, shown, monkeypatch):
    def fail(*_args, **_options):
        raise OSError("no room left")

    monkeypatch.setattr(start_card, "run_plan", fail)
    starter.start()
    ended(starter)
    assert starter.progress.text == "The run failed: OSError: no room left"
    assert shown == []

    monkeypatch.setattr(start_card, "run_plan", fake)
    fake.go_on.set()
    starter.start()
    ended(starter)
    assert len(shown) == 1


def test_the_remaining_time_is_shown_only_if_known():
    assert format_progress(Progress(1, 9, "warm up", None)) == "1 of 9 · warm up"
    assert format_progress(Progress(1, 9, "warm up", 600.0)).endswith("about 10 min left")
