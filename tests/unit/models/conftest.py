"""Run PyTorch on one thread in these tests.

The models are tiny: on a busy machine every linear layer waits for its second thread. Beside 20
running processes, generating six tokens took 8.5 s with two threads and 0.4 s with one.
"""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def single_threaded_torch():
    try:
        import torch
    except ImportError:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
