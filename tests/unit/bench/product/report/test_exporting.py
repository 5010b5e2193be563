"""Exports in processes of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.measure.process_use import memory_of, peak_bytes
from attnpanel.bench.product.report import exporting
from attnpanel.bench.product.report.exporting import Exporter, export

# Holds 50 MB and works for a moment, unless there is nothing to write.
SCRIPT = """
import sys, time
from pathlib import Path
from attnpanel.bench.measure.process_use import measured

_, output, result = sys.argv
with measured(Path(result)):
    if output != "-":
        held = bytearray(50_000_000)
        held[::4096] = b"x" * len(held[::4096])
        begun = time.process_time()
        while time.process_time() - begun < 0.2: pass
        Path(output).write_text("page")
"""


@pytest.fixture
def script(tmp_path, root, monkeypatch):
    """Write a module that `Exporter` finds, and return its name."""

    def script(text: str) -> Exporter:
        (tmp_path / "made_exporter.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
        return Exporter(sys.executable, "made_exporter", ())

    return script


@pytest.mark.skipif(peak_bytes() is None, reason="no /proc on this system")
def test_only_the_export_itself_is_measured(script, tmp_path):
    taken = export(script(SCRIPT), tmp_path / "page.html", times=2, limit_s=60)

    assert taken.file_bytes == 4
    assert len(taken.cpu_s) == len(taken.extra_peak_bytes) == 2
    # Starting Python takes some hundredths of a second, which must not be in it; 1 s is for a
    # machine that counts coarsely.
    assert all(0.2 <= seconds < 1.0 for seconds in taken.cpu_s)
    # What a process holds differs by pages from run to run.
    assert all(45e6 < peak < 60e6 for peak in taken.extra_peak_bytes)


def test_a_failure_is_reported_by_the_last_line_of_stderr(script, tmp_path):
    with pytest.raises(MeasurementError, match=r"^export failed: ValueError: no such thing$"):
        export(script("raise ValueError('no such thing')"), tmp_path / "page", 1, limit_s=60)


def test_an_export_that_exceeds_its_limit_is_killed(script, tmp_path):
    with pytest.raises(MeasurementError, match="export took longer than 1 s"):
        export(script("import time; time.sleep(60)"), tmp_path / "page", 1, limit_s=1)


def test_too_much_memory_is_a_failure(script, tmp_path):
    pytest.importorskip("resource")
    greedy = (
        "from attnpanel.bench.measure.process_use import limit_memory\n"
        "limit_memory(10**9)\nbytearray(2 * 10**9)"
    )

    with pytest.raises(MeasurementError, match="export failed: MemoryError"):
        export(script(greedy), tmp_path / "page", 1, limit_s=60)


def test_an_export_without_proc_has_no_peak(script, tmp_path, monkeypatch):
    nothing = {"wall_s": 1.0, "cpu_s": 1.0, "peak_bytes": None}
    monkeypatch.setattr(exporting, "_run", lambda *_: nothing)
    (tmp_path / "page").write_text("page")

    assert export(script(""), tmp_path / "page", 1, limit_s=60).extra_peak_bytes is None


def test_an_ended_process_has_no_memory():
    assert memory_of(2**31 - 1, "VmRSS") is None


def test_the_exporters_are_where_the_bench_looks_for_them():
    assert Path(exporting.ROOT, "attnpanel/bench/product/report/export.py").is_file()
    assert Path(exporting.ROOT, "attnpanel/bench/product/report/peers_export.py").is_file()
