"""Long work tells how far it is: to a callable, or as a bar where somebody looks."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import attnpanel as ap
from attnpanel.attention import progress as module
from attnpanel.attention.progress import progress_bar


@pytest.fixture
def trace():
    weights = [np.full((1, 2, 5, 5), 0.2), np.full((1, 4, 5, 5), 0.2)]
    return ap.Trace.from_weights(weights)


def test_analyze_counts_the_cells_of_all_layers(trace, monkeypatch):
    monkeypatch.setattr("attnpanel.analysis.query_blocks.BLOCK_CELLS", 15)  # three queries
    told = []

    trace.analyze(progress=lambda fraction, text: told.append((round(fraction, 3), text)))

    assert told == [
        (0.2, "layer 0"),  # 2 of 6 heads, 3 of 5 queries
        (0.333, "layer 0"),
        (0.733, "layer 1"),
        (1.0, "layer 1"),
        (1.0, "Done"),
    ]


@pytest.mark.slow
def test_a_report_goes_from_nothing_to_all(trace, tmp_path):
    told = []

    ap.save_report(trace, tmp_path / "a.html", progress=lambda fraction, _: told.append(fraction))

    assert told == sorted(told)
    assert told[0] < 0.9
    assert told[-1] == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_where_somebody_looks(terminal, capsys, monkeypatch):
    monkeypatch.setattr(module, "DELAY_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)

    advance = progress_bar("Reading")
    advance(0.5, "layer 3")
    drawn = capsys.readouterr().err
    advance(1.0, "Done")

    assert ("Reading" in drawn) == terminal


def test_short_work_draws_nothing(capsys, monkeypatch):
    monkeypatch.setattr(module, "DELAY_S", 3600.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    advance = progress_bar("Reading")
    advance(0.5, "layer 3")
    advance(1.0, "Done")

    assert "Reading" not in capsys.readouterr().err
