"""Measuring the served page in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.browser import WHAT_TO_DO, find_browser
from bench.results import UiRun, read
from bench.tables import ui_table
from bench.ui import QUICK

pytestmark = pytest.mark.browser
TWO_FRAMES_S = 2 / 60


@pytest.fixture(scope="module")
def quick(root, tmp_path_factory):
    """A quick run, as its user starts it: the result's path and what was printed."""
    if find_browser() is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(WHAT_TO_DO)
    path = tmp_path_factory.mktemp("bench") / "quick.json"
    command = [sys.executable, "-m", "bench", "ui", "--quick", "--no-workers"]
    command += ["-o", str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def test_a_quick_run_measures_every_slider_at_every_length(quick):
    run = read(quick[0], UiRun)

    measured = [(one.query_len, one.control) for one in run.interactions]
    assert measured == [(T, name) for T in (8, 64) for name in ("token", "temperature", "head")]
    assert run.preset == "quick, no Workers"
    presses = {(len(one.data_s), len(one.paint_s)) for one in run.interactions}
    assert presses == {(QUICK.presses, QUICK.presses)}


def test_the_picture_comes_after_its_data_and_not_sooner_than_two_frames(quick):
    for one in read(quick[0], UiRun).interactions:
        for data_s, paint_s in zip(one.data_s, one.paint_s, strict=True):
            assert 0 < data_s < paint_s
            # Frames are not evenly spaced; what must never pass is no frame or one.
            assert paint_s - data_s > TWO_FRAMES_S / 2


def test_the_pixels_of_every_plot_have_changed_when_a_paint_is_counted(quick):
    assert all(one.pixels_changed for one in read(quick[0], UiRun).interactions)


def test_the_first_picture_comes_after_the_address(quick):
    run = read(quick[0], UiRun)

    assert 0 < run.address_s[0] < run.first_paint_s[0]
    assert list(run.import_s) == ["pass", "import numpy", "import attnpanel"]


def test_what_is_printed_is_the_table_of_the_file(quick):
    path, printed = quick

    assert printed == ui_table(read(path, UiRun)) + "\n"
