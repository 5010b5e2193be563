"""A vision transformer of timm, in a separate process: see timm_requirements.txt."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.slow  # installs timm

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "timm_requirements.txt"
PIP = (sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--retries", "1")


@pytest.fixture(scope="module")
def timm(root):
    """The folder of timm and torchvision; reinstalled when the pinned versions change."""
    folder = root / ".cache" / "timm"
    note = folder / "made-from.txt"
    wanted = f"{sys.version}\n{REQUIREMENTS.read_text()}"
    if note.is_file() and note.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    command = [*PIP, "--target", str(folder), "-r", str(REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "connection" in done.stderr.lower():
        pytest.skip("timm is not installed yet, and there is no network")
    assert done.returncode == 0, done.stderr
    note.write_text(wanted)
    return folder


@pytest.mark.thorough
def test_a_vision_transformer_of_timms_gives_its_own_weights(timm, root):
    done = subprocess.run(
        [sys.executable, HERE / "timm_run.py", timm],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    found = json.loads(done.stdout)
    assert set(found) == {"written out", "fused"}
    for run in found.values():
        assert run["same"]
        assert run["layers"] == ["blocks.0.attn", "blocks.1.attn"]
        # Two pictures, three heads, four patches and the class token.
        assert run["shapes"] == [[2, 3, 5, 5]] * 2
        assert run["live"] == [True, True]
        # Sums of 64 float32 products in another order.
        assert run["error"] <= 1e-5
        assert run["largest"] > 0.5  # uniform weights would be 0.2
