from __future__ import annotations

import pytest

from attnpanel.bench.page import served
from attnpanel.bench.page.components import Certificate
from attnpanel.bench.page.served import BenchPage
from attnpanel.bench.run.serialization import write
from attnpanel.ui import Caption
from tests.unit.bench.run.sample_runs import sample_run


@pytest.fixture(autouse=True)
def no_thread(monkeypatch):
    """The error map has tests of its own, and a thread that would outlive these."""
    monkeypatch.setattr(served, "live_error_card", lambda **_look: Caption(text="error map"))


def said(page):
    return [line.text for line in page.view.select(Caption) if line.visible]


def test_without_runs_the_page_says_how_to_make_one(tmp_path):
    page = BenchPage(tmp_path)

    assert "No run yet" in said(page)
    assert "error map" in said(page)
    assert page.view.select(Certificate) == []


@pytest.mark.thorough
def test_the_newest_run_is_shown_and_another_can_be_chosen(tmp_path):
    write(sample_run(date="2026-11-20T06:00:00+00:00"), tmp_path / "run-b.json")
    write(sample_run(date="2026-11-22T06:00:00+00:00"), tmp_path / "run-a.json")
    page = BenchPage(tmp_path)
    assert any("2026-11-22T06:00" in text for text in said(page))

    (choice,) = page.view.select(lambda widget: "bench-runs" in widget.css_classes)
    choice.value = choice.options[1]

    assert any("2026-11-20T06:00" in text for text in said(page))
    assert not any("2026-11-22T06:00" in text for text in said(page))


def test_a_run_made_on_the_page_is_shown_at_once(tmp_path):
    page = BenchPage(tmp_path)

    page._add(sample_run())

    assert "No run yet" not in said(page)
    assert len(page.view.select(Certificate)) == 1


def test_an_invalid_file_is_reported_on_the_page(tmp_path):
    (tmp_path / "run-a.json").write_text("[]")

    assert any(
        text.startswith("Not shown: run-a.json is not a result")
        for text in said(BenchPage(tmp_path))
    )


def test_a_runs_file_is_read_once_while_it_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(served, "run_cards", lambda *_, **__: [])
    path = tmp_path / "run-a.json"
    write(sample_run(date="2026-11-20T06:00:00+00:00"), path)
    first = BenchPage(tmp_path)._run

    assert BenchPage(tmp_path)._run is first
    write(sample_run(date="2026-11-22T06:00:00+00:00"), path)
    assert BenchPage(tmp_path)._run.environment.date_utc == "2026-11-22T06:00:00+00:00"


def test_a_report_is_made_later_from_what_was_on_screen(tmp_path, monkeypatch):
    monkeypatch.setattr(served, "run_cards", lambda *_, **__: [])
    write(sample_run(date="2026-11-20T06:00:00+00:00"), tmp_path / "run-a.json")
    write(sample_run(date="2026-11-22T06:00:00+00:00"), tmp_path / "run-b.json")
    page = BenchPage(tmp_path)
    written = []
    monkeypatch.setattr(served, "save_run_report", lambda run, *_, **__: written.append(run))
    shown, report = page._run, page._make_report()
    assert written == []

    page._choice.value = page._choice.options[1]
    report.write(tmp_path / "bench.html")
    assert written == [shown]
    report.failed("It is full.")
    assert "The report can't be made. It is full." in said(page)
