"""The command line of the bench: `python -m bench ui`; arguments only, no logic."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import read, write
from bench.tables import ui_table
from bench.ui import FULL, QUICK, MeasurementError, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RESULTS = Path("bench/results")


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
    except (MeasurementError, ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _ui_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="a small run, to see that measuring works"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.json",
        help=f"where the result goes (default {RESULTS}/ui-<date>.json)",
    )
    parser.add_argument(
        "--table", type=Path, metavar="FILE.json", help="measure nothing: print this result's table"
    )


def _ui(options: argparse.Namespace) -> None:
    if options.table is not None:
        print(ui_table(read(options.table)))
        return
    path = options.output or RESULTS / f"ui-{datetime.now(UTC):%Y-%m-%d}.json"
    run = measure(QUICK if options.quick else FULL)
    write(run, path)
    print(ui_table(run))
    print(f"bench: wrote {path}", file=sys.stderr)


COMMANDS: tuple[Command, ...] = (
    Command("ui", "slider to picture, start and import", _ui_arguments, _ui),
)

if __name__ == "__main__":
    sys.exit(main())
