"""Names and words of a stranger on the served pages: shown as text, wherever they come from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from attnpanel.bench.run.serialization import write
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.store import RunStore
from tests.browser.conftest import started
from tests.browser.reading import open_explorer, settle
from tests.browser.test_report_hostile import HOSTILE, RUN
from tests.hand_made import call, trace_of
from tests.unit.bench.run.sample_runs import sample_run

IMAGE, DRAWING = f"<img src=x onerror={RUN}>", f"\"'><svg onload={RUN}>"
PWNED = "() => window.pwned"


@pytest.fixture(scope="module")
def hostile(root, tmp_path_factory):
    """The address of a server whose files, models, runs and results bear such names."""
    folder = tmp_path_factory.mktemp("hostile")
    traces = [folder / f"{name}.safetensors" for name in (IMAGE, DRAWING)]
    for path in traces:
        trace_of(call(query_len=3)).save(path)
    runs = RunStore(folder / "runs.sqlite3")
    runs.create(TrainingSettings(), IMAGE)
    results = folder / "results"
    results.mkdir()
    run = sample_run()
    strange = replace(
        run,
        preset=IMAGE,
        environment=replace(run.environment, cpu_model=IMAGE, commit=DRAWING),
        agreements=tuple(replace(one, reasons=(IMAGE,)) for one in run.agreements),
        timings=tuple(replace(one, reasons=(DRAWING,)) for one in run.timings),
    )
    write(strange, results / f"run-{IMAGE}.json")
    options = ["--model", IMAGE, "--model", DRAWING, "--runs", str(runs.path)]
    options += ["--page", "bench", *map(str, traces)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNPANEL_BENCH_RESULTS", str(results))
        with started(root, folder / "server.log", *options) as (_server, address):
            yield address


@pytest.mark.thorough
def test_names_of_files_and_models_are_text_in_the_explorer(hostile, page, tmp_path):
    open_explorer(page, hostile)
    menu = page.locator("select", has=page.locator("option", has_text=".safetensors"))
    assert menu.locator("option").all_inner_texts() == [
        f"{name}.safetensors" for name in (IMAGE, DRAWING)
    ]
    menu.select_option(index=1)
    settle(page)
    uploaded = tmp_path / f"{IMAGE}.safetensors"
    uploaded.write_bytes(b"junk")
    page.locator(".attn-upload input").set_input_files(uploaded)
    expect(page.locator(".attn-caption.error", has_text=IMAGE)).to_be_visible()
    page.get_by_role("button", name="Prompt").click()
    expect(page.get_by_role("option", name=DRAWING)).to_be_attached()
    # No model has such a name.
    expect(page.locator(".attn-caption.error", has_text=RUN)).to_be_visible()

    assert page.evaluate(PWNED) is None


@pytest.mark.thorough
@pytest.mark.parametrize(("path", "shown"), [("compare", IMAGE), ("lab", IMAGE), ("bench", IMAGE)])
def test_names_are_text_on_the_other_pages(hostile, page, path, shown):
    page.goto(f"{hostile}{path}")
    expect(page.get_by_text(shown).first).to_be_attached()
    page.wait_for_function("() => window.Bokeh?.documents?.[0]?.is_idle")

    assert page.evaluate(PWNED) is None


@pytest.mark.thorough
def test_an_exported_answer_is_text(page, open_page, served, tmp_path):
    answer = "\n\n".join(text.replace("\x00", "").replace("\x1b", "") for text in HOSTILE[:-1])
    open_explorer(page, f"{served}exercises?exercise=causal")
    field = page.get_by_label("Your answer")
    field.fill(answer)
    field.blur()
    settle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export my answer").click()
    path = tmp_path / "answer.html"
    download.value.save_as(path)

    report = open_page(offline=True)
    report.goto(path.as_uri())
    expect(report.get_by_text(f"onerror={RUN}").first).to_be_visible()
    report.wait_for_function("() => window.Bokeh?.documents?.[0]?.is_idle")
    for opened in (page, report):
        assert opened.evaluate(PWNED) is None
