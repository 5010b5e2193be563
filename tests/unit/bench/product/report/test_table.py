"""The tables of `bench report`, compared with values computed by hand."""

from __future__ import annotations

from dataclasses import replace

from attnpanel.bench.__main__ import main
from attnpanel.bench.product.report.table import CHANGES_CAPTION, FILES_CAPTION, report_table
from attnpanel.bench.run.serialization import write
from tests.unit.bench.product.report.sample_run import RUN

# Medians of two numbers lie halfway; of 100, 200 and 300 ms the 95th percentile lies 1.9 steps up.
FILES = """
tool, trace, values, file MB, export CPU s, + peak MB, drawn CPU s, drawn s, \
at rest CPU s, elements, nodes, page MB, a head ms, errors, requests
floor, –, –, –, –, –, –, –, –, –, –, –, –, –, –
attnpanel, toy T=8, yes, 3.04, 0.60, 65, 1.62, 2.50, 2.50, 1200, 3400, 200, 200, 1, 0
Peer, toy T=8, –, 1234.00, 39.50, –, –, –, –, –, –, –, 1250, 2, 1
"""
CHANGES = """
trace, values, change, paint p50, p95, min, max, longest gap, n, lost, pixels
toy T=8, yes, head, 200, 290, 100, 300, 75, 3, 1, NO
"""


def lines(markdown: str) -> list[str]:
    """A table's lines as the texts above have them: its rule left out, thousands not marked."""
    rows = [line.strip("| ").split("|") for line in markdown.splitlines()]
    return [
        ", ".join(cell.strip().replace(",", "") for cell in row)
        for index, row in enumerate(rows)
        if index != 1
    ]


def test_the_tables_of_a_sample_run():
    files, said, changes, also_said, failed, peers, where = report_table(RUN).split("\n\n")

    assert lines(files) == FILES.strip().splitlines()
    assert said == FILES_CAPTION
    assert lines(changes) == CHANGES.strip().splitlines()
    assert also_said == CHANGES_CAPTION
    assert failed == "- Peer toy T=8: needs a network"
    assert peers == "Peers: peer 1.2."
    assert where.startswith("- Abacus, 4 cores, 1.5 GiB; Linux; Chromium 1\n")


def test_a_run_of_the_report_alone_names_no_peers_and_no_failure():
    alone = replace(RUN, peers={}, rows=RUN.rows[:2])

    assert "Peer" not in report_table(alone)
    assert "needs a network" not in report_table(alone)


def test_the_command_prints_the_table_of_a_file(tmp_path, capsys):
    write(RUN, tmp_path / "run.json")

    assert main(["report", "--table", str(tmp_path / "run.json")]) == 0
    assert capsys.readouterr().out == report_table(RUN) + "\n"
