"""Certificates of gradients in a run: asked for, kept, resumed, shown and counted."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest

from attnpanel.bench.certify.gradients_certificate import gradient_cases
from attnpanel.bench.run.child import ChildFailure
from attnpanel.bench.run.commands import failures
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.gradients import gradients_of_plan
from attnpanel.bench.run.recording import Record
from attnpanel.bench.run.records import BenchRun, GradientAgreement
from attnpanel.bench.run.serialization import read, write
from attnpanel.bench.run.tables import gradient_certificates, run_table
from attnpanel.bench.run.worker import Worker
from tests.unit.bench.run.fake_plans import CASE, plan
from tests.unit.bench.run.sample_runs import sample_run

CASES = gradient_cases("float32")
RIGHT = GradientAgreement("right", "a case", "pass", (), {"query": 1.5, "key": 2.5})
WRONG = replace(RIGHT, implementation="wrong", verdict="fail", reasons=("d key: too large",))


class FakeChildren:
    """Answers like the processes of implementations, and keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def ask(self, name, method, case):
        assert method == "certify_gradients"
        self.asked.append((name, case.name))
        return self.answer(name, case)


@contextmanager
def step(kind, *words):
    assert kind == "certify"
    yield


def certified(answer, record=None, **changes):
    asked = replace(plan("RIGHT", "WRONG"), **changes)
    record = record or Record(asked, None, resume=False)
    children = FakeChildren(answer)
    gradients_of_plan(asked, record, children, step)
    return record, children


def test_every_case_of_the_dtypes_of_the_plan_is_certified_once():
    def answer(name, case):
        return replace(RIGHT, implementation=name, case=case.name)

    record, children = certified(answer)
    assert len(children.asked) == 2 * len(CASES)
    assert {case for _, case in record.gradients} == {case.name for case in CASES}
    _, again = certified(answer, record)
    assert again.asked == []


def test_implementation_without_gradients_is_asked_once():
    record, children = certified(lambda *_: None)

    assert len(children.asked) == 2
    assert record.gradients == {}


def test_process_that_ends_is_an_error_of_its_row():
    def answer(name, case):
        raise ChildFailure("crashed", "ended by signal 6")

    record, _ = certified(answer)
    assert {row.verdict for row in record.gradients.values()} == {"error"}
    assert record.run(finished=True).gradients[0].reasons == ("crashed: ended by signal 6",)


def test_worker_certifies_gradients_and_says_if_there_are_none():
    request = replace(CASES[0].request, device="cpu")
    case = replace(CASES[0], request=request)

    found = Worker("torch-sdpa-math", 1).certify_gradients(case)

    assert (found.verdict, set(found.units)) == ("pass", {"query", "key", "value"})
    assert Worker("numpy-naive", 1).certify_gradients(case) is None


def test_gradients_are_written_shown_and_counted(tmp_path):
    made = replace(sample_run(), gradients=(RIGHT, WRONG))
    path = tmp_path / "run.json"
    write(made, path)

    assert read(path, BenchRun) == made
    assert "a case: d key: too large" in gradient_certificates(made)
    assert "Gradients" in run_table(made)
    assert "Gradients" not in run_table(sample_run())
    assert "2.50" in gradient_certificates(made)
    before = failures(sample_run(), verdicts=["fail"])
    assert before != failures(made, verdicts=["fail"])
    assert failures(replace(made, agreements=made.agreements[:1]), verdicts=["fail"]) == [
        "1 rows are fail, the first wrong: a case"
    ]


def test_file_of_the_schema_before_has_none(tmp_path):
    content = asdict(sample_run())
    del content["gradients"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**content, "schema": "attnpanel.bench-run/5"}))

    assert read(path, BenchRun).gradients == ()


@pytest.mark.thorough
@pytest.mark.slow  # whole runs, each implementation in a process of its own
def test_run_certifies_gradients_where_they_are_asked_for(tmp_path, monkeypatch):
    few = CASES[:3]
    monkeypatch.setattr("attnpanel.bench.run.gradients.gradient_cases", lambda _dtype: few)
    small = replace(plan("RIGHT", timed=(), certified=(CASE,)), implementations=("torch-eager",))
    assert run(small).gradients == ()
    found = run(replace(small, gradients=True), output=tmp_path / "run.json")

    assert [row.case for row in found.gradients] == [case.name for case in few]
    assert {row.verdict for row in found.gradients} == {"pass"}
