"""`python -m bench ring`, alone and under torchrun."""

import subprocess
import sys
from dataclasses import replace

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.cluster.ring import RingTiming, format_ring, measure_ring
from attnpanel.bench.run.records import Agreement
from attnpanel.kernels.request import Request

pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # starts processes that each import torch

SMALL = ["--T", "31", "--heads", "2", "--head-dim", "5", "--rounds", "3"]


def test_without_torchrun_it_is_a_ring_of_one(capsys):
    assert main(["ring", *SMALL]) == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("a ring of one process: pass on causal B1 H2 T31 D5 float32 randn")
    assert second.startswith("causal B1 H2 T31 D5 float32 randn: median ")
    assert " of 3 calls " in second


@pytest.mark.thorough
def test_under_torchrun_the_processes_form_one_ring(root):
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "-m", "bench", "ring", *SMALL, "--kv-heads", "1"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )

    first, second = launched.stdout.splitlines()
    assert first.startswith("a ring of 2 processes over gloo: pass on causal B1 H2/1 T31 D5")
    # 16 of 31 tokens: two heads of queries and of output, one of keys and of values; 5 float32.
    assert second.endswith(f"each process holds {16 * (2 + 2 + 1 + 1) * 5 * 4 / 2**20:.3g} MiB")


def test_a_failed_certificate_shows_no_time():
    failed = Agreement("torch-ring", "a case", "fail", "computed", ("output: wrong",), ())

    words = format_ring("a longer case", RingTiming(failed, 2, "gloo", (), 0))

    assert words == "a ring of 2 processes over gloo: fail on a case: output: wrong"


@pytest.mark.parametrize("change", [{"mask": "window", "window": 2}, {"bias": True}])
def test_unsupported_requests_of_a_ring_are_refused(change):
    request = replace(Request(1, 2, 2, 5, 5, 3, 3), **change)

    with pytest.raises(ValueError, match="mask none or causal and no bias; got mask"):
        measure_ring(request, rounds=1)
