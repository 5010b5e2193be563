from __future__ import annotations

import json

import pytest

from attnpanel.bench.page import runs
from attnpanel.bench.page.runs import load_run, runs_in
from attnpanel.bench.run.serialization import write
from tests.unit.bench.run.sample_runs import sample_run


def test_runs_are_listed_newest_first_and_invalid_files_as_messages(tmp_path):
    write(sample_run(date="2026-11-20T06:00:00+00:00"), tmp_path / "full.json")
    write(sample_run(date="2026-11-22T06:00:00+00:00"), tmp_path / "run-a.json")
    (tmp_path / "run-c.json").write_text("{")
    (tmp_path / "run-d.json").write_text(json.dumps({"schema": "<script>" * 999}))
    (tmp_path / "ui-2026.json").write_text("{}")  # another measurement's

    found, problems = runs_in(tmp_path)

    assert list(found) == ["run-a.json", "full.json"]
    assert [problem[:44] for problem in problems] == [
        "run-c.json is not a result of the bench: Exp",
        "run-d.json is not a result of the bench: sch",
    ]
    assert max(map(len, problems)) <= 300
    assert str(tmp_path) not in "".join(problems)


def test_a_missing_folder_has_no_runs(tmp_path):
    assert runs_in(tmp_path / "gone") == ({}, [])


def test_a_file_above_the_size_limit_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "run-a.json"
    write(sample_run(), path)
    monkeypatch.setattr(runs, "MAX_BYTES", 1000)

    with pytest.raises(ValueError, match=r"at most 1.0 kB; got \d+ kB"):
        load_run(path)
