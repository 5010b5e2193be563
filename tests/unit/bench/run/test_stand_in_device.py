"""Whole runs on a stand-in for a CUDA device, which fails in every way that a device can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attnpanel.bench.certify.cases import Case, make_inputs
from attnpanel.bench.measure import clocks, roofline
from attnpanel.bench.measure.clocks import clock_for
from attnpanel.bench.measure.cuda_graphs import capture_cuda_graph
from attnpanel.bench.measure.memory import peak_bytes_of
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.planning import Plan
from attnpanel.kernels import find_implementation
from attnpanel.kernels.arrays import describe, to_float64
from attnpanel.kernels.request import Request
from tests.unit.bench.run import stand_in_cuda

FOLDER = Path(__file__).with_name("stand_in")
KERNELS = "tests.unit.bench.run.device_kernels:"
REQUEST = Request(1, 2, 2, 17, 17, 8, 8, device="cuda")
# The faults are in the case without a mask, which comes first.
CASES = (Case(REQUEST), Case(replace(REQUEST, mask="causal")))


def plan(*names, **changes):
    default = Plan(
        preset="stand-in",
        certified=(),
        timed=CASES,
        implementations=tuple(KERNELS + name for name in names),
        rounds=2,
        row_budget_s=1.0,
        time_limit_s=60,
        limits=False,
    )
    return replace(default, **changes)


@pytest.fixture
def in_children(monkeypatch, tmp_path):
    """Give child processes the stand-in; return the file by which the device disappears."""
    gone = tmp_path / "gone"
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    monkeypatch.setenv(stand_in_cuda.GONE, str(gone))
    return gone


@pytest.fixture
def device(monkeypatch):
    """The stand-in in this process."""
    monkeypatch.setattr(clocks, "FLUSH_BYTES", 2**12)
    remove = stand_in_cuda.install()
    yield stand_in_cuda.DEVICE
    remove()


def rows(found, name):
    """Return verdict, status and reasons of the rows of a kernel, by case."""
    verdicts = [a.verdict for a in found.agreements if a.implementation == KERNELS + name]
    timings = [t for t in found.timings if t.implementation == KERNELS + name]
    return verdicts, [t.status for t in timings], [" ".join(t.reasons) for t in timings]


@pytest.mark.thorough
@pytest.mark.slow  # whole runs, each implementation in a process of its own
def test_each_fault_is_the_status_of_its_row_and_the_others_are_timed(in_children):
    # Processes import torch before the time counts.
    found = run(plan("GREEDY", "ILLEGAL", "TIMELESS", "HANGING", time_limit_s=15))

    timed = next(timing for timing in found.timings if timing.wall_s)
    assert timed.clock == "cuda"
    assert timed.peak_bytes == 12345
    verdicts, statuses, reasons = rows(found, "GREEDY")
    assert (verdicts, statuses) == (["error", "pass"], ["out of memory", "timed"])
    assert "CUDA out of memory" in reasons[0]
    # After an illegal access every call of the process fails: the next row has a new process.
    verdicts, statuses, reasons = rows(found, "ILLEGAL")
    assert (verdicts, statuses) == (["error", "pass"], ["error", "timed"])
    assert "illegal memory access" in reasons[0]
    verdicts, statuses, reasons = rows(found, "TIMELESS")
    assert verdicts == ["pass", "pass"]
    assert statuses[0] == "error"
    assert "its clock gave no time" in reasons[0]
    verdicts, statuses, reasons = rows(found, "HANGING")
    assert (verdicts, statuses) == (["error", "pass"], ["timed out", "timed"])
    assert "no answer within 15 s" in reasons[0]


@pytest.mark.thorough
@pytest.mark.slow  # whole runs, each implementation in a process of its own
def test_device_that_disappears_leaves_rows_without_times(in_children):
    # What starts later finds no device, as in test_execute.
    found = run(plan("DISAPPEARING"))

    assert in_children.exists()
    verdicts, statuses, reasons = rows(found, "DISAPPEARING")
    assert (verdicts, statuses) == (["pass", "error"], ["error", "error"])
    assert reasons[0] == "RuntimeError: no CUDA device here any more"
    assert "device was removed" in reasons[1]


@pytest.mark.thorough
@pytest.mark.slow  # a whole run, in a process of its own
def test_captured_calls_are_replayed_with_their_inputs_and_judged(in_children):
    found = run(plan("RIGHT", cuda_graphs=True, timed=CASES[:1]))

    assert [agreement.verdict for agreement in found.agreements] == ["pass"]
    (timing,) = found.timings
    assert (timing.status, timing.reasons) == ("timed", ())
    assert timing.judged >= 1
    assert "replayed" in found.machine["cuda graphs"]


def test_results_of_the_stand_in_are_on_the_device_and_right(device):
    call = find_implementation("torch-eager").prepare(make_inputs(CASES[0]), REQUEST)

    assert describe(call().output).device == "cuda"
    right = find_implementation("numpy-online").prepare(
        make_inputs(CASES[0]), replace(REQUEST, device="cpu")
    )
    np.testing.assert_allclose(to_float64(call().output), right().output, atol=1e-6)


def test_graph_is_captured_poisoned_and_replayed(device):
    call = find_implementation("torch-eager").prepare(make_inputs(CASES[0]), REQUEST)
    expected = to_float64(call().output)

    replay = capture_cuda_graph(call)

    assert to_float64(replay().output).tolist() == expected.tolist()


def test_clock_flushes_twice_the_cache_and_gives_device_seconds(device):
    device.elapsed_ms = 3.0

    assert clock_for("cuda").sample([lambda: None, lambda: None]).wall_s == pytest.approx(1.5e-3)


def test_limits_of_a_device_are_measured_by_its_clock(device, monkeypatch):
    monkeypatch.setattr(roofline, "DEVICE_SIZES", (32, 64))
    monkeypatch.setattr(roofline, "STEP_BYTES", (2**12, 2**16))

    found = roofline.measure_limits("cuda", "bfloat16", threads=1)

    assert max(found.gemm_flops_per_s) > 0
    assert [step.per_yardstick for step in found.steps] == [None, None]
    assert found.datasheet is not None
    assert "H200" in found.datasheet


def test_peak_memory_is_that_of_the_devices_allocator(device):
    assert peak_bytes_of(lambda: None, "cuda") == 12345
