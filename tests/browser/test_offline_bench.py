"""The bench in an offline file, opened from file:// in Chromium, with WebGPU, and in Firefox."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from attnpanel.bench.browser import ARGUMENTS, FIREFOX_HINT, find_browser, find_firefox
from attnpanel.bench.certify.cases import GROUPED, SQUARE, Case
from attnpanel.bench.measure.roofline import share_of_limit
from attnpanel.bench.offline.page import OfflinePreset, offline_page
from attnpanel.bench.run.comma_separated import run_csv
from attnpanel.bench.run.compare import compare, compare_table
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.refusals import tolerance_of
from attnpanel.bench.run.serialization import read
from attnpanel.bench.run.submission import refusals, results_page
from attnpanel.bench.run.tables import limits_of, run_table
from tests.browser.firefox import start_firefox

CERTIFIED = [
    Case(replace(SQUARE, mask="causal")),
    *(
        Case(replace(request, device="webgpu", dtype=dtype), kind)
        for dtype in ("float32", "float16")
        for request, kind in (
            (replace(SQUARE, mask="key_padding", pad_lens=(3, 0)), "peaked"),
            (replace(GROUPED, mask="causal", bias=True, temperature=0.5), "outlier"),
        )
    ),
]
# At T = 40 a case is no longer called fifty times.
TINY = OfflinePreset("tiny", certified=True, lengths=(40,), rounds=3)
pytest_plugins = ["tests.browser.axe_checks"]

IDLE = "body[data-state=idle]"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("offline") / "bench.html"
    path.write_text(offline_page([TINY], certified=CERTIFIED), encoding="utf-8")
    return path


@pytest.fixture
def page(browser, problems):
    """A page of a Chromium with WebGPU on the CPU, without a network."""
    arguments = [*ARGUMENTS, "--enable-unsafe-webgpu"]
    own = browser.browser_type.launch(executable_path=find_browser(), args=arguments)
    context = own.new_context(viewport={"width": 390, "height": 844}, offline=True)
    problems.watch(context)
    yield context.new_page()
    own.close()


def test_a_run_in_the_page_is_a_result_that_python_reads(page, file, tmp_path, axe):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.locator("#start").click()  # once the Worker has looked around
    expect(page.locator("#words")).to_contain_text(" of ")
    page.locator(IDLE).wait_for()
    with page.expect_download() as saved:
        page.locator("#save").click()
    saved.value.save_as(tmp_path / "result.json")

    run = read(tmp_path / "result.json", BenchRun)
    verdicts = {}
    for one in run.agreements:
        verdicts.setdefault(one.implementation, []).append((one.verdict, one.reasons))
    passed = {"javascript": 3, "javascript-wasm": 3, "webgpu-f32": 4}
    assert {name: verdicts[name] for name in passed} == {
        name: [("pass", ())] * count for name, count in passed.items()
    }
    assert {verdict for verdict, _ in verdicts["webgpu-f16"]} <= {"pass", "unsupported"}
    assert run.finished
    assert "HeadlessChrome" in run.environment.browser
    cases = {case.name: case for case in run.cases}
    timed = [row for row in run.timings if row.status == "timed"]
    assert {row.implementation for row in timed} >= set(passed)
    for row in timed:
        assert (row.clock, row.cpu_s) == ("browser", ())
        assert 1 <= len(row.wall_s) <= 3  # fewer where the machine was so busy that some were short
        assert row.judged >= 1
        case = cases[row.case]
        limits = limits_of(run, case)
        assert share_of_limit(case.request, limits, row) <= 1 + tolerance_of(limits, row)

    # On a software adapter the page says so at the top, and in each row.
    software = "software adapter" in run.machine
    assert page.locator("#software").is_visible() == software
    rows = [row.reasons for row in timed if row.implementation == "webgpu-f32"]
    assert all(("software adapter: the CPU computes" in words) == software for words in rows)
    # Chromium's WebGPU has timestamp queries.
    assert all(any("own clock" in word for word in words) for words in rows)
    assert "webgpu-f32" in run_table(run)
    assert "webgpu-f16" in run_csv(run)
    assert {change.verdict for change in compare(run, run)[0]} <= {"SAME", "AMBIGUOUS"}
    assert "javascript-wasm" in compare_table(run, run)
    clean = replace(run, environment=replace(run.environment, dirty=False))
    assert refusals(clean) == []
    assert "javascript" in results_page([clean])
    assert [url.partition(":")[0] for url in asked] == ["file", "blob"]

    # The same page again: stopped, it keeps what it has.
    expect(page.locator("#certificates table")).to_contain_text("webgpu-f16")
    page.locator("#start").click()
    page.locator("#stop").click()
    page.locator(IDLE).wait_for()
    expect(page.locator("#words")).to_contain_text("Stopped")
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    np.testing.assert_array_less(widths[0], widths[1] + 1)
    for _ in range(2):
        axe(page)
        page.locator("#theme").click()


@pytest.mark.thorough
def test_firefox_certifies_and_times_without_webgpu(file, tmp_path):
    command = find_firefox()
    if command is None:
        pytest.skip(FIREFOX_HINT)
    with start_firefox(command, tmp_path) as firefox:
        firefox.open(file.as_uri())
        firefox.wait_for("!document.getElementById('start').disabled")
        firefox.evaluate("document.getElementById('start').click()")
        firefox.wait_for("document.body.dataset.state === 'idle'")
        text = firefox.evaluate("document.getElementById('certificates').innerText")
        times = firefox.evaluate("document.getElementById('times').innerText")

        assert "javascript-wasm\t3\t0\t0\t0" in text, text
        assert "GFLOP/s" in times
        assert firefox.problems() == []
