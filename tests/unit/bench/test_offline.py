"""The offline page as a file, and results that a browser's clock gives."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.certify.cases import SQUARE, Case
from attnpanel.bench.offline.cases import DEVICES, KINDS, certified_cases, timed_cases
from attnpanel.bench.offline.page import OfflinePreset, bundle, offline_page
from attnpanel.bench.offline.shared_inputs import SharedGenerator
from attnpanel.bench.run.compare import compare
from attnpanel.bench.run.records import BenchRun, Timing
from attnpanel.bench.run.serialization import ResultFileError, read, write
from attnpanel.bench.run.tables import timing_table
from tests.unit.bench.run.sample_runs import sample_run

TINY = (OfflinePreset("tiny", certified=False, lengths=(8,), rounds=2),)


@pytest.fixture(scope="module")
def text():
    hostile = Case(replace(SQUARE, mask="causal"))
    return offline_page(TINY, certified=[hostile], title="</title><script>alert(1)</script>")


def elements(text, kind):
    return re.findall(rf"<{kind}([^>]*)>(.*?)</{kind}>", text, re.DOTALL)


def test_the_policy_names_the_one_script_and_style_and_nothing_wider(text):
    (policy,) = re.findall(r'Policy" content="([^"]*)"', text)
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    scripts = [code for kind, code in elements(text, "script") if "type=" not in kind]
    styles = [code for _, code in elements(text, "style")]

    def named(codes):
        return [f"'sha256-{b64encode(sha256(code.encode()).digest()).decode()}'" for code in codes]

    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [*named(scripts), "'wasm-unsafe-eval'"]
    assert rules["style-src"].split() == named(styles)
    assert (len(scripts), len(styles)) == (1, 1)
    assert rules["worker-src"] == "blob:"
    assert not {"connect-src", "img-src", "frame-src"} & set(rules)


def test_the_file_asks_for_nothing_and_its_title_is_text(text):
    assert not re.findall(
        r"(?:src|href)=|url\(|@import|https?:", re.sub(r"(?s)<script.*", "", text)
    )
    assert "&lt;script&gt;alert(1)" in text
    data = json.loads(dict(elements(text, "script"))[' type="application/json" id="bench-data"'])
    assert data["schema"] == "attnpanel.bench-run/7"
    assert data["certified"][0]["samples"]


def test_a_bundle_that_would_end_its_element_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("attnpanel.bench.offline.page.BUNDLES", tmp_path)
    (tmp_path / "one.js").write_text('const end = "</script>"')

    with pytest.raises(ValueError, match="one must hold neither </script nor <!--"):
        bundle("one")


def test_the_command_writes_the_page(monkeypatch, tmp_path, capsys, text):
    monkeypatch.setattr("attnpanel.bench.offline.page.offline_page", lambda **_: text)

    assert main(["file", "-o", str(tmp_path / "page.html")]) == 0

    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    assert "page.html" in capsys.readouterr().out


def test_cases_are_of_dtypes_and_kinds_that_the_page_has():
    for device, dtypes in DEVICES.items():
        cases = [*certified_cases(device), *timed_cases(device)]
        assert {case.request.dtype for case in cases} == set(dtypes)
        assert {case.kind for case in cases} <= KINDS
        assert {case.request.device for case in cases} == {device}
        assert len({case.name for case in cases}) == len(cases)
        assert {"none", "causal", "window", "documents"} <= {case.request.mask for case in cases}


def test_shared_numbers_are_nearly_normal():
    numbers = SharedGenerator(7).standard_normal((200_000,))

    # Four standard errors of mean and variance.
    assert abs(numbers.mean()) < 4 / np.sqrt(numbers.size)
    assert abs(numbers.var() - 1) < 4 * np.sqrt(2 / numbers.size)
    again = SharedGenerator(7)
    assert again.standard_normal((2,)).tolist() == numbers[:2].tolist()
    assert set(again.integers(3, size=(50, 1)).ravel()) == {0, 1, 2}


def in_browser(run: BenchRun) -> BenchRun:
    """Return a run as if a browser's clock had timed it."""
    timings = [
        replace(
            timing,
            clock="browser",
            cpu_s=(),
            waited_s=(),
            yardstick_s=(),
            copy_yardstick_s=(),
            reasons=("software adapter: the CPU computes",) if timing.wall_s else timing.reasons,
        )
        for timing in run.timings
    ]
    return replace(run, timings=tuple(timings))


def test_times_of_a_browser_are_shown_and_compared(tmp_path):
    run = in_browser(sample_run())
    write(run, tmp_path / "run.json")

    again = read(tmp_path / "run.json", BenchRun)

    assert again == run
    case = next(case for case in run.cases if case.name == run.timings[0].case)
    assert "software adapter: the CPU computes" in timing_table(run, case)
    assert "noisy" not in timing_table(run, case)
    assert {change.verdict for change in compare(run, again)[0]} <= {"SAME", "AMBIGUOUS"}


def test_a_browser_tells_no_cpu_time(tmp_path):
    with pytest.raises(ValueError, match="cpu_s must be empty by a browser's clock; got 1"):
        Timing(
            "javascript", "x", 1, "timed", clock="browser", wall_s=(1.0,), cpu_s=(1.0,), rounds=(0,)
        )
    write(in_browser(sample_run()), tmp_path / "run.json")
    content = json.loads((tmp_path / "run.json").read_text())
    content["timings"][0]["clock"] = "sundial"
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ResultFileError, match="clock must be one of cpu, cuda, browser"):
        read(tmp_path / "run.json", BenchRun)
