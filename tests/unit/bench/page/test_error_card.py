"""The live error map: however often its choices change, one answer is computed at a time."""

from __future__ import annotations

import threading
from queue import Queue

from attnpanel.bench.page import error_card
from attnpanel.bench.page.components import ErrorChoices
from attnpanel.ui.worker_pool import WORKERS


def test_a_flood_of_choices_computes_the_first_and_the_last(monkeypatch):
    asked, go = Queue(), threading.Event()

    def answer(_answers, first, *_settings):
        asked.put(first)
        assert go.wait(60)
        return {"problem": f"asked for {first}"}

    monkeypatch.setattr(error_card._Answers, "answer", answer)
    card = error_card.live_error_card(dark=False)
    (component,) = card.select(ErrorChoices)
    answered = Queue()
    component.param.watch(lambda event: answered.put(event.new), "answer")
    before = component.first
    assert asked.get(timeout=300) == before

    for number in range(50):
        component.first = f"number {number}"
    assert WORKERS.counts == (1, 1)
    go.set()

    assert answered.get(timeout=300)["problem"] == "asked for number 49"
    assert asked.get(timeout=300) == "number 49"
    assert asked.empty()
