"""`bench capture`: a table computed by hand, and a quick run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.product.capture import large
from attnpanel.bench.product.capture.large import LargeRun, large_table
from attnpanel.bench.product.capture.results import CaptureRun, Size, Way
from attnpanel.bench.product.capture.table import capture_table
from attnpanel.bench.run.serialization import read, write
from tests.unit.bench.product.test_tables import RUN as UI_RUN

SIZE = Size(
    batch=2,
    query_len=7,
    ways=(
        Way("plain", (0.1, 0.2, 0.4), (0.1, 0.1, 0.1), (3_000_000, 5_000_000, 4_000_000), 0),
        Way("capture", (0.2, 0.2, 0.6), (0.2, 0.3, 0.1), (16_000_000,), 10_000_000),
        Way("unknown", (0.1, 0.1, 0.1), (0.1, 0.1, 0.1), None, 10_000_000),
    ),
)
RUN = CaptureRun("attnpanel.bench-capture/1", "quick", UI_RUN.environment, "minilm", 3, (SIZE,))
# Ratios of rounds 2, 1, 1.5 and of CPU 2, 3, 1; memory 16 − 4 = 12 MB, two more than is stored.
ROW = "| 2 × 7 | capture |     200 |   1.500 | 1.000–2.000 |       2.000 |      10.0 |      12.0 |"


def test_ratios_are_of_the_same_round_and_memory_is_above_the_plain_runs():
    table = capture_table(RUN)

    assert ROW in table
    assert "|           20% |   3 |" in table
    assert table.endswith("- minilm, 3 threads of torch")


def test_a_file_gives_the_table_again(tmp_path, capsys):
    path = tmp_path / "run.json"
    write(RUN, path)

    assert read(path, CaptureRun) == RUN
    assert main(["capture", "--table", str(path)]) == 0
    assert capsys.readouterr().out == f"{capture_table(RUN)}\n"


@pytest.mark.parametrize(
    ("ways", "rule"),
    [
        (SIZE.ways[1:], "must begin with 'plain'"),
        ((SIZE.ways[0], replace(SIZE.ways[1], cpu_s=(1.0,))), "same number of rounds"),
    ],
)
def test_a_size_whose_ways_cannot_be_compared_is_refused(ways, rule):
    with pytest.raises(ValueError, match=rule):
        replace(SIZE, ways=ways)


@pytest.mark.model
def test_a_quick_run_measures_every_way(tmp_path, capsys):
    pytest.importorskip("transformers")
    path = tmp_path / "quick.json"

    assert main(["capture", "--quick", "-o", str(path)]) == 0

    (size,) = read(path, CaptureRun).sizes
    stored = {way.name: way.stored_bytes for way in size.ways}
    # 6 layers of 16 tokens, 384 channels: queries, keys and values of 4 bytes, or two of 2 bytes;
    # weights of 12 heads.
    vectors = 6 * 16 * 384
    assert stored == {
        "plain": 0,
        "capture": vectors * 3 * 4,
        "capture, float16, no values": vectors * 2 * 2,
        "eager, output_attentions": 6 * 12 * 16 * 16 * 4,
    }
    assert {len(way.wall_s) for way in size.ways} == {3}


@pytest.fixture
def one_process(monkeypatch):
    """Run each task after the first in this process: another start imports all of it again."""
    start, started = subprocess.run, []

    def run(command, **options):
        started.append(command)
        if len(started) == 1:
            return start(command, **options)
        at = command.index(large.__name__)
        monkeypatch.setattr(sys, "argv", command[at:])
        return large._main()

    monkeypatch.setattr(large, "subprocess", SimpleNamespace(run=run))
    return started


@pytest.mark.thorough
@pytest.mark.slow
def test_a_quick_run_of_large_layers_has_every_task(one_process, tmp_path, capsys):
    path = tmp_path / "large.json"

    assert main(["capture", "--large", "--quick", "-o", str(path)]) == 0

    assert len(one_process) == 3
    run = read(path, LargeRun)
    assert [task.name for task in run.tasks] == ["first picture", "report", "analyze"]
    printed = capsys.readouterr().out
    assert main(["capture", "--large", "--table", str(path)]) == 0
    assert capsys.readouterr().out == printed == f"{large_table(run)}\n"
