"""`bench ui` in a real browser."""

from __future__ import annotations

import subprocess
import sys

import pytest

from attnpanel.bench.browser import INSTALL_HINT, find_browser
from attnpanel.bench.product.tables import ui_table
from attnpanel.bench.product.ui import QUICK
from attnpanel.bench.run.serialization import UiRun, read

pytestmark = [pytest.mark.browser, pytest.mark.thorough]


@pytest.fixture(scope="module")
def quick(root, tmp_path_factory):
    """A quick run, as its user starts it: the result's path and what was printed."""
    if find_browser() is None:
        pytest.skip(INSTALL_HINT)
    path = tmp_path_factory.mktemp("bench") / "quick.json"
    command = [sys.executable, "-m", "bench", "ui", "--quick", "--no-workers"]
    command += ["-o", str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def test_a_quick_run_measures_every_slider_at_every_length(quick):
    run = read(quick[0], UiRun)

    measured = [(interaction.query_len, interaction.control) for interaction in run.interactions]
    assert measured == [(T, name) for T in (8, 64) for name in ("token", "temperature", "head")]
    assert run.preset == "quick, no Workers"
    presses = {
        (len(interaction.data_s), len(interaction.paint_s)) for interaction in run.interactions
    }
    assert presses == {(QUICK.presses, QUICK.presses)}


def test_paint_follows_data(quick):
    for interaction in read(quick[0], UiRun).interactions:
        for data_s, paint_s in zip(interaction.data_s, interaction.paint_s, strict=True):
            assert 0 < data_s < paint_s


def test_the_pixels_of_every_plot_have_changed_at_paint_time(quick):
    assert all(interaction.pixels_changed for interaction in read(quick[0], UiRun).interactions)


def test_taps_on_the_picture_are_timed(quick):
    ((patches, taken),) = read(quick[0], UiRun).picture_tap_s.items()

    assert (int(patches), len(taken)) == (QUICK.side**2, QUICK.taps)
    assert min(taken) > 0


def test_the_first_paint_follows_the_address(quick):
    run = read(quick[0], UiRun)

    assert 0 < run.address_s[0] < run.first_paint_s[0]
    assert list(run.import_s) == ["pass", "import numpy", "import attnpanel"]


def test_the_command_prints_the_table_of_its_file(quick):
    path, printed = quick

    assert printed == ui_table(read(path, UiRun)) + "\n"
