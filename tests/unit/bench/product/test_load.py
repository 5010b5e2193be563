"""`python -m bench load`: its table by hand, and its clients at a server of one small page."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.product.load.client import crowd, health, visit
from attnpanel.bench.product.load.pings import Pings
from attnpanel.bench.product.load.results import LoadRun, PageLoad, PromptLoad
from attnpanel.bench.product.load.table import load_table
from attnpanel.bench.product.load.wire import Wire
from attnpanel.bench.run.serialization import read, write
from tests.page_socket import request
from tests.unit.bench.product.test_tables import RUN as UI_RUN
from tests.unit.pages.serving.conftest import running

SLIDER = replace(UI_RUN.interactions[0], control="token")
RUN = LoadRun(
    schema="attnpanel.bench-load/1",
    preset="quick",
    environment=UI_RUN.environment,
    pages=(
        PageLoad(
            name="a page that looks",
            query="?source=toy",
            cpu_s=(0.5, 0.25, 0.75),
            first_heatmap_s=(1.5, 1.25, 2.0),
            first_bytes=5_200_000,
            second_bytes=23_000,
            pages=4,
            together_s=6.04,
            ping_s=(0.001, 0.003, 0.250),
            memory_bytes=(200_000_000, 224_000_000, 210_000_000),
        ),
    ),
    sliders={"source=toy, alone": SLIDER},
    prompts=PromptLoad(
        pages=5,
        presses=60,
        once_s=1.5,
        pressed_s=2.25,
        running=2,
        waiting=4,
        threads_before=9,
        threads_most=11,
        ping_s=(0.001, 0.004, 0.0078),
    ),
)
# The medians of cpu_s and first_heatmap_s; (224 - 200) / 4 = 6 MB a page; 210 / 200 = 1.05. Of the
# slider's 10 … 50 ms the median is 30, of its 100 … 500 ms 300 and the 95th percentile 480.
EXPECTED = [
    ["CPU-s of the server to open one", "0.5000"],
    ["request → first heatmap, s", "1.50"],
    ["MB, first / second visit", "5.20 / 0.023"],
    ["pages at once", "4"],
    ["… until the last is open, s", "6.0"],
    ["… others' ping meanwhile, ms: p50 / max", "3 / 250"],
    ["… memory a page, MB", "6.0"],
    ["… left after all closed, of before", "+5%"],
    ["source=toy, alone", "30", "300", "480", "2"],
    ["5 prompts at once, s", "1.50"],
    ["5 × 60 presses of Run, s", "2.25"],
    ["most running / waiting", "2 / 4"],
    ["threads, before / most", "9 / 11"],
    ["others' ping, ms: p50 / max", "4 / 8"],
]


def test_the_table_says_what_the_result_holds(tmp_path, capsys):
    path = tmp_path / "load.json"
    write(RUN, path)

    assert read(path, LoadRun) == RUN
    assert main(["load", "--table", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown == f"{load_table(RUN)}\n"
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in shown.splitlines()
        if "|" in line
    ]
    assert [row for row in cells if row in EXPECTED] == EXPECTED


def test_its_clients_open_pages_at_once_and_hear_why_one_is_refused():
    async def use(address):
        visits, together_s, pings = await crowd(address, 3)
        during = await health(address)
        for each in visits:
            each.close()
        with pytest.raises(MeasurementError, match="answered 404"):
            await visit(f"{address}nowhere")
        return visits, together_s, pings, during

    with running() as server:
        visits, together_s, pings, during = asyncio.run(use(f"http://localhost:{server.port}/"))

    assert during["sessions"]["open"] == 3
    assert max(each.open_s for each in visits) <= together_s
    assert pings


def test_a_server_that_answers_no_ping_is_named_as_the_reason():
    with (
        pytest.raises(MeasurementError, match=r"a ping failed: .*refused"),
        Pings("http://localhost:1/"),
    ):
        pass


def test_the_wire_counts_what_comes_back_and_changes_nothing():
    with running() as server, Wire() as wire:
        wire.server_port = server.port
        answers = [
            request(wire.port, f"Host: localhost:{server.port}", path)
            for path in ("/health", "/static/js/bokeh.min.js")
        ]

        assert wire.received == sum(map(len, answers))
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
