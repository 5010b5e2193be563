"""`bench run --time-limit`: what is not reached says so, and the first cases come first."""

from __future__ import annotations

import pytest

from attnpanel.bench.run.execute import run
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read
from tests.unit.bench.run.fake_plans import CASE, CAUSAL, plan


def test_a_run_out_of_time_is_finished_and_each_row_says_why_it_has_none(tmp_path):
    path = tmp_path / "run.json"

    found = run(plan("RIGHT", "WRONG", run_limit_s=1e-9), output=path)

    assert found.finished
    assert [(row.status, row.reasons) for row in found.timings] == [
        ("timed out", ("the run's limit of 1e-09 s had passed",))
    ] * 2
    assert found.machine["time limit"] == "the run was ended after 1e-09 s"
    assert read(path, BenchRun) == found


@pytest.mark.slow  # a whole run, in a process of its own
@pytest.mark.usefixtures("children_without_torch")
def test_with_a_limit_what_is_only_certified_comes_last():
    steps = []
    limited = plan("RIGHT", timed=(CASE,), certified=(CAUSAL,), run_limit_s=1000)

    found = run(limited, progress=lambda progress: steps.append(progress.what))

    kinds = [(words.split()[0], words.rpartition(": ")[2]) for words in steps]
    assert kinds.index(("certify", CAUSAL.name)) > kinds.index(("time", CASE.name))
    assert {row.verdict for row in found.agreements} == {"pass"}
    assert "time limit" not in found.machine


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_a_limit_must_be_positive(limit):
    with pytest.raises(ValueError, match="run_limit_s must be positive"):
        plan("RIGHT", run_limit_s=limit)
