"""What tests of the bench share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

WITHOUT_TORCH = Path(__file__).with_name("without_torch")


@pytest.fixture(scope="module")
def children_without_torch() -> Iterator[None]:
    """Let the processes of fake kernels find no torch: importing it takes each 1.5 CPU seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(WITHOUT_TORCH), prepend=os.pathsep)
        yield
