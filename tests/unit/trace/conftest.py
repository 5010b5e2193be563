"""Fixtures that several files of tests share."""

from __future__ import annotations

import numpy as np
import pytest

from attnpanel.trace import AttentionCall, Trace
from tests.unit.trace.trace_files import content_of, full_trace


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return content_of(full_trace(), tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A trace of one call of one number, so that a fuzzer hits the header often."""
    one = np.ones((1, 1, 1, 1), dtype=np.float32)
    trace = Trace([AttentionCall("l", 0, query=one, key=one)], query_tokens=[["a"]])
    return content_of(trace, tmp_path_factory.mktemp("small"))
