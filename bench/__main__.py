"""The command line of the bench, `python -m bench`; arguments only, no logic."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.browser import MeasurementError
from bench.capture.measure import FULL as CAPTURE_FULL
from bench.capture.measure import QUICK as CAPTURE_QUICK
from bench.capture.measure import measure as measure_capture
from bench.capture.results import CaptureRun
from bench.capture.table import capture_table
from bench.report import cases
from bench.report.measure import measure as measure_report
from bench.report.results import ReportRun
from bench.report.table import report_table
from bench.results import UiRun, read, write
from bench.ring import ring_arguments, ring_command
from bench.run_commands import (
    RESULTS,
    Interrupted,
    compare_arguments,
    compare_command,
    list_arguments,
    list_command,
    run_arguments,
    run_command,
    show_arguments,
    show_command,
)
from bench.tables import ui_table
from bench.ui import FULL, QUICK
from bench.ui import measure as measure_ui

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Command:
    """One sub-command: its name, what it is for, its arguments, and what it does with them."""

    name: str
    purpose: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure attnpanel.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.purpose)
        command.arguments(one)
        one.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (MeasurementError, ImportError, ArithmeticError, ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except Interrupted as stopped:
        print(f"bench: {stopped}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments(name: str) -> Callable[[argparse.ArgumentParser], None]:
    """Return what adds the arguments that every measurement has."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--quick", action="store_true", help="a small run, to see that measuring works"
        )
        parser.add_argument(
            "-o",
            "--output",
            type=Path,
            metavar="FILE.json",
            help=f"where the result goes (default {RESULTS}/{name}-<date>.json)",
        )
        parser.add_argument(
            "--table",
            type=Path,
            metavar="FILE.json",
            help="measure nothing: print this result's table",
        )

    return add


def _ui_arguments(parser: argparse.ArgumentParser) -> None:
    _arguments("ui")(parser)
    parser.add_argument(
        "--no-workers",
        action="store_true",
        help="in a browser that starts no Worker, where no step is computed before it is asked for",
    )


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    _arguments("report")(parser)
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN.json",
        help="measure nothing: write the pictures of this result of `run` as one offline HTML file "
        "(-o, by default beside it); further results are its history",
    )
    parser.add_argument(
        "--skip-peers", action="store_true", help="the report alone: installs nothing, no network"
    )


def _ui(options: argparse.Namespace) -> None:
    if options.table is not None:
        print(ui_table(read(options.table, UiRun)))
        return
    preset = QUICK if options.quick else FULL
    if options.no_workers:
        preset = replace(preset, name=f"{preset.name}, no Workers", workers=False)
    run = measure_ui(preset)
    _keep(run, options.output, "ui")
    print(ui_table(run))


def _capture(options: argparse.Namespace) -> None:
    if options.table is not None:
        print(capture_table(read(options.table, CaptureRun)))
        return
    run = measure_capture(CAPTURE_QUICK if options.quick else CAPTURE_FULL)
    _keep(run, options.output, "capture")
    print(capture_table(run))


def _report(options: argparse.Namespace) -> None:
    if options.runs:
        _run_report(options.runs, options.output)
        return
    if options.table is not None:
        print(report_table(read(options.table, ReportRun)))
        return
    preset = cases.QUICK if options.quick else cases.FULL
    run = measure_report(preset, peers=not options.skip_peers)
    _keep(run, options.output, "report")
    print(report_table(run))


def _run_report(paths: Sequence[Path], output: Path | None) -> None:
    # Panel and HoloViews take seconds that no other command needs.
    from bench.page.report import save_run_report
    from bench.page.runs import load_run

    run, *history = map(load_run, paths)
    path = save_run_report(run, output or paths[0].with_suffix(".html"), history=history)
    print(f"bench: wrote {path}", file=sys.stderr)


def _keep(run: UiRun | ReportRun | CaptureRun, output: Path | None, name: str) -> None:
    path = output or RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%d}.json"
    write(run, path)
    print(f"bench: wrote {path}", file=sys.stderr)


COMMANDS: tuple[Command, ...] = (
    Command("run", "certify and time implementations of attention", run_arguments, run_command),
    Command("list", "the implementations and the presets", list_arguments, list_command),
    Command("show", "a run as tables", show_arguments, show_command),
    Command("compare", "two runs: FASTER, SLOWER, SAME", compare_arguments, compare_command),
    Command("ring", "ring attention over torchrun's processes", ring_arguments, ring_command),
    Command("ui", "slider to picture, start and import", _ui_arguments, _ui),
    Command("capture", "what capturing a model's attention costs", _arguments("capture"), _capture),
    Command(
        "report",
        "a run as one HTML file; or measure the explorer's report and its peers",
        _report_arguments,
        _report,
    ),
)

if __name__ == "__main__":
    sys.exit(main())
