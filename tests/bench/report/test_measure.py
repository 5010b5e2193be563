"""The toy's report, exported and opened and moved in a real browser."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bench.__main__ import main
from bench.browser import WHAT_TO_DO, find_browser
from bench.report import cases, measure
from bench.report.measure import why_nothing
from bench.report.results import ReportRun, Row
from bench.results import read
from tests.bench.report.made import UNDRAWN

TWO_FRAMES_S = 2 / 60


def in_a_thread(function, *args, **options):
    """What a function returns; the tests' own browser may keep a loop running in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *args, **options).result()


def test_a_page_that_needs_a_network_is_told_by_what_it_asked_for():
    assert why_nothing(UNDRAWN, 60.0) == (
        "needs a network: asked for https://cdn.example/require.js, "
        "then: ReferenceError: require is not defined"
    )


def test_other_reasons_for_no_picture():
    assert why_nothing(replace(UNDRAWN, requests=()), 60.0) == (
        "nothing drawn: ReferenceError: require is not defined"
    )
    assert why_nothing(replace(UNDRAWN, requests=(), errors=()), 60.0) == (
        "nothing drawn within 60 s"
    )


def test_without_a_browser_the_command_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ATTNPANEL_CHROMIUM", str(tmp_path / "missing"))

    assert main(["report", "--quick", "--skip-peers"]) == 1
    assert capsys.readouterr().err.strip() == f"bench: {WHAT_TO_DO}"


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Row:
    """The row of the toy, as the command writes it."""
    if find_browser() is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(WHAT_TO_DO)
    path = tmp_path_factory.mktemp("bench") / "toy.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "QUICK", cases.TOY_ONLY)
        command = ["report", "--quick", "--skip-peers", "-o", str(path)]
        assert in_a_thread(main, command) == 0
    run = read(path, ReportRun)
    assert run.peers == {}
    (row,) = run.rows
    return row


@pytest.mark.browser
def test_the_toys_report_is_written_opened_and_moved(toy):
    assert toy.status == "ok"
    assert toy.export.file_bytes > 1_000_000
    assert [change.interaction.control for change in toy.changes] == [
        "token",
        "temperature",
        "head",
        "aggregate",
    ]
    assert all(change.interaction.pixels_changed for change in toy.changes)


@pytest.mark.browser
def test_the_report_asks_for_nothing_and_complains_of_nothing(toy):
    assert [(one.errors, one.requests) for one in toy.openings] == [((), ())] * 2


@pytest.mark.browser
def test_the_renderer_works_until_the_first_picture_and_then_rests(toy):
    for one in toy.openings:
        assert 0 < one.drawn_cpu_s <= one.rest_cpu_s
        assert one.drawn_s > TWO_FRAMES_S
        assert 500 < one.elements <= one.nodes


@pytest.mark.browser
def test_a_frame_passes_between_a_press_and_its_picture(toy):
    for change in toy.changes:
        # Frames are not evenly spaced; what must never pass is no frame.
        assert min(change.interaction.paint_s) > TWO_FRAMES_S / 2
        assert min(change.longest_gap_s) > TWO_FRAMES_S / 4


@pytest.mark.browser
def test_a_file_that_draws_nothing_is_its_rows_status(tmp_path, monkeypatch):
    def blank(_how, file, _times, _limit_s):
        file.write_text("<!DOCTYPE html><script>throw new Error('no picture today')</script>")

    if find_browser() is None:
        pytest.skip(WHAT_TO_DO)
    monkeypatch.setattr(measure, "export", blank)

    (row,) = in_a_thread(measure.measure, cases.TOY_ONLY, peers=False).rows

    assert row.status == "nothing drawn: Error: no picture today"
    assert row.openings[0].errors == ("Error: no picture today",)
