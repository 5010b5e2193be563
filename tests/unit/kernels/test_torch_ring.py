"""A ring of two processes over gloo, against the formula of the whole."""

import doctest
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from attnpanel.kernels.torch_ import ring as torch_ring
from tests.unit.kernels.attention_cases import draw, formula

pytest.importorskip("torch")

from tests.unit.kernels.ring_process import REQUESTS

pytestmark = pytest.mark.slow  # starts processes that each import torch
SIZE = 2


@pytest.fixture(scope="module")
def found(tmp_path_factory, root):
    """What each of two processes got for every request."""
    folder = tmp_path_factory.mktemp("ring")
    files = [folder / f"{rank}.npz" for rank in range(SIZE)]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.unit.kernels.ring_process"),
                *(str(rank), str(SIZE), folder / "meeting", file),
            ],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, file in enumerate(files)
    ]
    try:
        told = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * SIZE, told
    return [dict(np.load(file)) for file in files]


@pytest.mark.thorough(but=6)
@pytest.mark.parametrize("rank", range(SIZE))
@pytest.mark.parametrize("name", REQUESTS)
def test_every_process_gets_the_attention_of_the_whole(found, name, rank):
    request = REQUESTS[name]
    output, _, logsumexp, allowed = formula(draw(request), request)

    np.testing.assert_array_less(abs(found[rank][name] - output) - allowed, 1e-300)
    np.testing.assert_allclose(found[rank][name + " logsumexp"], logsumexp, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in REQUESTS if REQUESTS[name].mask != "none"])
def test_a_mask_that_is_not_the_requests_own_is_the_one_that_counts(found, name):
    request = REQUESTS[name]
    inputs = draw(request)
    shifted = replace(inputs, mask=np.roll(inputs.mask, 1, axis=-1))
    output, _, _, allowed = formula(shifted, request)

    got = found[0][name + ", another mask"]

    np.testing.assert_array_less(abs(got - output) - allowed, 1e-300)


@pytest.mark.parametrize("rank", range(SIZE))
def test_a_group_is_a_ring_of_its_own(found, rank):
    request = REQUESTS["no mask"]
    output, _, _, allowed = formula(draw(request, seed=rank), request)

    np.testing.assert_array_less(abs(found[rank]["alone"] - output) - allowed, 1e-300)


@pytest.mark.parametrize(("length", "size"), [(1, 3), (5, 3), (6, 3), (7, 3), (7, 1)])
def test_shares_are_neighbours_that_differ_by_one_at_most(length, size):
    shares = [torch_ring.share(length, rank, size) for rank in range(size)]

    assert [position for one in shares for position in one] == list(range(length))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_examples_in_the_docstrings_hold():
    results = doctest.testmod(torch_ring)

    assert results.attempted > 0
    assert results.failed == 0
