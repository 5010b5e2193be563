"""A process whose device is lost ends, and the next request gets a new one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnpanel.bench.run.execute import run
from attnpanel.bench.run.worker import device_is_lost
from tests.unit.bench.run.fake_kernels import correct, make_kernel
from tests.unit.bench.run.fake_plans import CASE, CAUSAL, plan

KERNELS = "tests.unit.bench.run.test_lost_device:"


class FakeCuda:
    """Stands for torch.cuda: after a sticky error every call raises."""

    def __init__(self, *, initialized=True, lost=False):
        self.initialized, self.lost = initialized, lost

    def is_initialized(self):
        return self.initialized

    def synchronize(self):
        if self.lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("cuda", "lost"),
    [
        (FakeCuda(), False),
        (FakeCuda(lost=True), True),
        # Asking would start CUDA, which takes seconds and memory.
        (FakeCuda(initialized=False, lost=True), False),
    ],
)
def test_a_device_is_lost_if_it_answers_with_an_error(monkeypatch, cuda, lost):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))

    assert device_is_lost() is lost


def lose_the_device(inputs):
    """Access memory illegally on the case without a mask; as in CUDA, all calls fail from then."""
    if inputs.mask is None:
        sys.modules["torch"] = SimpleNamespace(cuda=FakeCuda(lost=True))
    if isinstance(sys.modules.get("torch"), SimpleNamespace):
        raise RuntimeError(f"CUDA error in process {os.getpid()}")  # noqa: TRY004
    return correct(inputs)


LOSING = make_kernel("losing", result=lose_the_device)


@pytest.mark.slow  # whole runs, each implementation in a process of its own
@pytest.mark.usefixtures("children_without_torch")
def test_rows_after_a_lost_device_are_certified_in_a_new_process():
    cases = (CASE, CAUSAL, replace(CAUSAL, seed=1))

    found = run(
        replace(plan("RIGHT", timed=(), certified=cases), implementations=(f"{KERNELS}LOSING",))
    )

    assert [agreement.verdict for agreement in found.agreements] == ["error", "pass", "pass"]
