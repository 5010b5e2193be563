"""The command line of the bench, `attnpanel bench`; in a checkout also `python -m bench`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from attnpanel.attention.errors import os_error_text
from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.certify.document_command import certify_arguments, certify_command
from attnpanel.bench.certify.false_alarms import false_alarms_arguments, false_alarms_command
from attnpanel.bench.certify.gradients_command import gradients_arguments, gradients_command
from attnpanel.bench.certify.invariance_command import invariance_arguments, invariance_command
from attnpanel.bench.certify.sharpness import sharpness_arguments, sharpness_command
from attnpanel.bench.cluster.ring import ring_arguments, ring_command
from attnpanel.bench.measure.environment import RESULTS
from attnpanel.bench.offline.page import file_arguments, file_command
from attnpanel.bench.product.capture.family_table import families_table, measure_families
from attnpanel.bench.product.capture.large import (
    LARGE,
    QUICK_LARGE,
    LargeRun,
    large_table,
    measure_large,
)
from attnpanel.bench.product.capture.measure import FULL as CAPTURE_FULL
from attnpanel.bench.product.capture.measure import QUICK as CAPTURE_QUICK
from attnpanel.bench.product.capture.measure import measure as measure_capture
from attnpanel.bench.product.capture.results import CaptureRun
from attnpanel.bench.product.capture.table import capture_table
from attnpanel.bench.product.live.measure import FULL as LIVE_FULL
from attnpanel.bench.product.live.measure import QUICK as LIVE_QUICK
from attnpanel.bench.product.live.measure import measure as measure_live
from attnpanel.bench.product.live.results import LiveRun
from attnpanel.bench.product.live.table import live_table
from attnpanel.bench.product.load.measure import FULL as LOAD_FULL
from attnpanel.bench.product.load.measure import QUICK as LOAD_QUICK
from attnpanel.bench.product.load.measure import measure as measure_load
from attnpanel.bench.product.load.results import LoadRun
from attnpanel.bench.product.load.table import load_table
from attnpanel.bench.product.report import cases
from attnpanel.bench.product.report.measure import measure as measure_report
from attnpanel.bench.product.report.results import ReportRun
from attnpanel.bench.product.report.table import report_table
from attnpanel.bench.product.tables import ui_table
from attnpanel.bench.product.ui import FULL, QUICK
from attnpanel.bench.product.ui import measure as measure_ui
from attnpanel.bench.run.commands import (
    compare_arguments,
    compare_command,
    list_arguments,
    list_command,
    run_arguments,
    run_command,
    show_arguments,
    show_command,
)
from attnpanel.bench.run.repeatability import aa_arguments, aa_command
from attnpanel.bench.run.serialization import UiRun, read, write
from attnpanel.bench.run.submission import submit_arguments, submit_command
from attnpanel.bench.run.terminal import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Result = TypeVar("Result")


@dataclass(frozen=True)
class Command:
    """A subcommand: its name, help text, arguments and function."""

    name: str
    purpose: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="attnpanel bench",
        description="Certify and time implementations of attention; measure attnpanel.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = commands.add_parser(command.name, help=command.purpose)
        command.arguments(subparser)
        subparser.set_defaults(run=command.run)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except OSError as error:
        print(f"bench: {os_error_text(error)}", file=sys.stderr)
        return 1
    except (MeasurementError, ImportError, ArithmeticError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except Interrupted as interruption:
        print(f"bench: {interruption}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments(name: str) -> Callable[[argparse.ArgumentParser], None]:
    """Return a function that adds the arguments common to all measurements."""

    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--quick", action="store_true", help="a small run that checks that measuring works"
        )
        parser.add_argument(
            "-o",
            "--output",
            type=Path,
            metavar="FILE.json",
            help=f"path of the result (default {RESULTS}/{name}-<date>.json)",
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
        help="in a browser without Workers, where nothing is precomputed",
    )


def _report_arguments(parser: argparse.ArgumentParser) -> None:
    _arguments("report")(parser)
    parser.add_argument(
        "runs",
        nargs="*",
        type=Path,
        metavar="RUN.json",
        help="measure nothing: write this result of `run` as one offline HTML file "
        "(-o, by default beside it); further results are its history",
    )
    parser.add_argument(
        "--skip-peers", action="store_true", help="the report alone: installs nothing, no network"
    )


def _ui(options: argparse.Namespace) -> None:
    preset = QUICK if options.quick else FULL
    if options.no_workers:
        preset = replace(preset, name=f"{preset.name}, no Workers", workers=False)
    _measure(options, "ui", UiRun, lambda: measure_ui(preset), ui_table)


def _capture_arguments(parser: argparse.ArgumentParser) -> None:
    _arguments("capture")(parser)
    parser.add_argument(
        "--large",
        action="store_true",
        help="a layer of 8,192 tokens in the explorer, the report and analyze(), and one of 32,768",
    )


def _capture(options: argparse.Namespace) -> None:
    if options.large:
        _large(options)
        return
    preset = CAPTURE_QUICK if options.quick else CAPTURE_FULL
    _measure(options, "capture", CaptureRun, lambda: measure_capture(preset), capture_table)


def _load(options: argparse.Namespace) -> None:
    preset = LOAD_QUICK if options.quick else LOAD_FULL
    _measure(options, "load", LoadRun, lambda: measure_load(preset), load_table)


def _live(options: argparse.Namespace) -> None:
    preset = LIVE_QUICK if options.quick else LIVE_FULL
    _measure(options, "live", LiveRun, lambda: measure_live(preset), live_table)


def _families(_options: argparse.Namespace) -> None:
    print(families_table(measure_families()))


def _no_arguments(_parser: argparse.ArgumentParser) -> None:
    """Add nothing."""


def _large(options: argparse.Namespace) -> None:
    preset = QUICK_LARGE if options.quick else LARGE
    _measure(options, "large", LargeRun, lambda: measure_large(preset), large_table)


def _report(options: argparse.Namespace) -> None:
    if options.runs:
        _run_report(options.runs, options.output)
        return
    preset, peers = cases.QUICK if options.quick else cases.FULL, not options.skip_peers
    _measure(
        options, "report", ReportRun, lambda: measure_report(preset, peers=peers), report_table
    )


def _run_report(paths: Sequence[Path], output: Path | None) -> None:
    # Panel and HoloViews take seconds that no other command needs.
    from attnpanel.bench.page.export import save_run_report
    from attnpanel.bench.page.runs import load_run

    run, *history = map(load_run, paths)
    path = save_run_report(run, output or paths[0].with_suffix(".html"), history=history)
    print(f"bench: wrote {path}", file=sys.stderr)


def _measure(
    options: argparse.Namespace,
    name: str,
    kind: type[Result],
    measure: Callable[[], Result],
    table: Callable[[Result], str],
) -> None:
    """Measure, write the result and print its table; or print the table of an older result."""
    if options.table is not None:
        print(table(read(options.table, kind)))
        return
    run = measure()
    path = options.output or RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%d}.json"
    write(run, path)
    print(f"bench: wrote {path}", file=sys.stderr)
    print(table(run))


COMMANDS: tuple[Command, ...] = (
    Command("run", "certify and time implementations of attention", run_arguments, run_command),
    Command("list", "the implementations and the presets", list_arguments, list_command),
    Command("show", "a run as tables", show_arguments, show_command),
    Command("compare", "two runs: FASTER, SLOWER, SAME", compare_arguments, compare_command),
    Command("aa", "pairs of runs of the same code: are they SAME?", aa_arguments, aa_command),
    Command("submit", "runs into docs/results, and their page", submit_arguments, submit_command),
    Command(
        "certify",
        "certify one function, and write its certificate as a page",
        certify_arguments,
        certify_command,
    ),
    Command(
        "invariance",
        "whether batches, chunks, decoding and padding give the same rows",
        invariance_arguments,
        invariance_command,
    ),
    Command(
        "sharpness",
        "the least error that a certificate finds",
        sharpness_arguments,
        sharpness_command,
    ),
    Command(
        "false-alarms",
        "certify correct code on random cases",
        false_alarms_arguments,
        false_alarms_command,
    ),
    Command(
        "gradients",
        "certify the gradients of implementations",
        gradients_arguments,
        gradients_command,
    ),
    Command("file", "the bench as an offline page for any device", file_arguments, file_command),
    Command("ring", "ring attention over torchrun's processes", ring_arguments, ring_command),
    Command(
        "ui", "latency of sliders, taps on a picture, starting and importing", _ui_arguments, _ui
    ),
    Command("load", "what a server takes to open pages", _arguments("load"), _load),
    Command("live", "MiniLM in a report: size, error, tokens, speed", _arguments("live"), _live),
    Command("capture", "the cost of capturing a model's attention", _capture_arguments, _capture),
    Command("families", "what a capture gets of each family", _no_arguments, _families),
    Command(
        "report",
        "a run as one HTML file; or measure the explorer's report and its peers",
        _report_arguments,
        _report,
    ),
)

if __name__ == "__main__":
    sys.exit(main())
