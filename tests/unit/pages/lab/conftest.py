"""A store of runs, and trainings that start no process."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.pages.lab.page import LabPage
from attnpanel.trace import Trace
from attnpanel.trace.call import AttentionCall
from attnpanel.training.frames import pack_frame
from attnpanel.training.records import Point
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore


class FakeTrainings:
    """Keeps a run and trains nothing."""

    def __init__(self, store):
        self.store, self.problem, self.started = store, None, []

    def collect_finished(self):
        pass

    def start(self, settings, name="", text=None, owner=""):
        if self.problem is not None:
            raise self.problem
        self.started.append((settings, text))
        return self.store.create(settings, name, text, owner)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs.sqlite3")


@pytest.fixture
def trainings(store):
    return FakeTrainings(store)


@pytest.fixture
def page(trainings):
    return LabPage(trainings)


@pytest.fixture
def add(store):
    """Keep a run of two layers of two heads with points and pictures at the given steps."""

    def add(name, steps=(0, 3), *, state="training", accuracy=0.25, **settings):
        settings = TrainingSettings(**{"heads": 2, "d_model": 8, "steps": 30, **settings})
        number = store.create(settings, name)
        more(number, steps, state=state, accuracy=accuracy)
        return number

    def more(number, steps, *, state="training", accuracy=0.25):
        settings = store.run(number).settings
        zeros = np.zeros((1, settings.heads, 32, 4), np.float16)
        trace = Trace(
            [AttentionCall("a", i, query=zeros, key=zeros, causal="top_left") for i in range(2)]
        )
        pictures = [
            (step, [[0.125, 0.25], [0.0, step / 30]], pack_frame(trace), b"trace")
            for step in steps
            if settings.attends
        ]
        points = [Point(step, 2.0, 1.0 + step, accuracy) for step in steps]
        store.record(number, state, max(steps, default=0), 1.5, points, pictures)

    add.more = more
    return add
