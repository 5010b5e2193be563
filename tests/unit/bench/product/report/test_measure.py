"""The toy's report, exported, opened and used in a real browser."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.browser import INSTALL_HINT, find_browser
from attnpanel.bench.product.report import cases, measure
from attnpanel.bench.product.report.measure import explain_blank_page
from attnpanel.bench.product.report.results import ReportRun, Row
from attnpanel.bench.run.serialization import read
from tests.unit.bench.product.report.sample_run import UNDRAWN


def in_a_thread(function, *args, **options):
    """What a function returns; the tests' own browser may keep a loop running in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *args, **options).result()


def test_a_page_that_needs_a_network_is_explained_by_its_request():
    assert explain_blank_page(UNDRAWN, 60.0) == (
        "needs a network: asked for https://cdn.example/require.js, "
        "then: ReferenceError: require is not defined"
    )


def test_other_reasons_for_a_blank_page():
    assert explain_blank_page(replace(UNDRAWN, requests=()), 60.0) == (
        "nothing drawn: ReferenceError: require is not defined"
    )
    assert explain_blank_page(replace(UNDRAWN, requests=(), errors=()), 60.0) == (
        "nothing drawn within 60 s"
    )


def test_without_a_browser_the_command_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("ATTNPANEL_CHROMIUM", str(tmp_path / "missing"))

    assert main(["report", "--quick", "--skip-peers"]) == 1
    assert capsys.readouterr().err.strip() == f"bench: {INSTALL_HINT}"


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Row:
    """The row of the toy, as the command writes it."""
    if find_browser() is None:
        pytest.skip(INSTALL_HINT)
    path = tmp_path_factory.mktemp("bench") / "toy.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "QUICK", cases.TOY_ONLY)
        command = ["report", "--quick", "--skip-peers", "-o", str(path)]
        assert in_a_thread(main, command) == 0
    run = read(path, ReportRun)
    assert run.peers == {}
    (row,) = run.rows
    return row


@pytest.mark.thorough
@pytest.mark.browser
def test_the_toy_report_is_measured(toy):
    assert toy.status == "ok"
    assert toy.export.file_bytes > 1_000_000
    assert [change.interaction.control for change in toy.changes] == [
        "token",
        "temperature",
        "head",
        "aggregate",
    ]
    assert all(change.interaction.pixels_changed for change in toy.changes)


@pytest.mark.thorough
@pytest.mark.browser
def test_the_report_has_no_requests_and_no_errors(toy):
    assert [(opening.errors, opening.requests) for opening in toy.openings] == [((), ())] * 2


@pytest.mark.thorough
@pytest.mark.browser
def test_the_renderer_becomes_idle_after_the_first_plot(toy):
    for opening in toy.openings:
        assert 0 < opening.drawn_cpu_s <= opening.rest_cpu_s
        assert opening.drawn_s > 0
        assert 500 < opening.elements <= opening.nodes


@pytest.mark.thorough
@pytest.mark.browser
def test_a_press_is_painted_after_its_data_changed(toy):
    for change in toy.changes:
        interaction = change.interaction
        pairs = zip(interaction.data_s, interaction.paint_s, strict=True)
        assert all(0 < data_s < paint_s for data_s, paint_s in pairs)
        assert min(change.longest_gap_s) > 0


@pytest.mark.browser
def test_a_file_that_draws_nothing_sets_the_status_of_its_row(tmp_path, monkeypatch):
    def blank(_how, file, _times, _limit_s):
        file.write_text("<!DOCTYPE html><script>throw new Error('no picture today')</script>")

    if find_browser() is None:
        pytest.skip(INSTALL_HINT)
    monkeypatch.setattr(measure, "export", blank)

    (row,) = in_a_thread(measure.measure, cases.TOY_ONLY, peers=False).rows

    assert row.status == "nothing drawn: Error: no picture today"
    assert row.openings[0].errors == ("Error: no picture today",)
