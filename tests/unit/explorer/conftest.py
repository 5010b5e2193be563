"""Fixtures that several files of tests share."""

from __future__ import annotations

import pytest

from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import ExplorerBridge
from tests.hand_made import call, trace_of


@pytest.fixture
def feed():
    state = ExplorerState(trace_of(call(0), call(1)))
    return ExplorerBridge(state, "x")
