"""The command `python -m bench aa`: how often `compare` calls the same code SAME, and finds 10 %.

The same plan is run in pairs, A and then B. Each pair is compared by the rule of
:mod:`bench.run.compare`, twice: as it is, where every row should be SAME, and with B's samples
lengthened by a tenth, where every row that is resolved finely enough should be SLOWER.
"""

from __future__ import annotations

import argparse
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attnpanel.bench.measure.environment import available_cores
from attnpanel.bench.product.tables import escape_cell, markdown
from attnpanel.bench.run.compare import MIN_DIFFERENCE_S, compare
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.presets import load_preset, make_plan, preset_names
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read
from attnpanel.bench.run.terminal import (
    Interrupted,
    log,
    print_safe,
    progress_bar,
    stopped_by_signals,
)
from attnpanel.kernels.torch_.inputs import DEVICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.bench.run.compare import Change, Comparison
    from attnpanel.bench.run.planning import Plan
    from attnpanel.bench.run.records import Timing

DELAY: Final = 0.10
# The share of rows that should be SAME, and of those resolved to better than `FINE` that should
# show the delay.
SAME_MARK: Final = 0.95
FOUND_MARK: Final = 0.80
FINE: Final = 0.08
RESULTS: Final = Path("bench/results")


@dataclass
class Repeatability:
    """What `compare` said of pairs of runs of the same code.

    Attributes
    ----------
    pairs : int
    verdicts : Counter of str
        Of all rows of all pairs.
    delayed : Counter of str
        Verdicts of the rows resolved to better than 8 %, with B lengthened by 10 %.
    short : int
        Rows resolved so finely of which 10 % is less than the clock's least difference.
    wrong : list of (int, Change)
        Number of the pair and rows that are FASTER or SLOWER.
    notes : Counter of str
        Of all pairs: what differs between their machines.
    """

    pairs: int = 0
    verdicts: Counter[Comparison] = field(default_factory=Counter)
    delayed: Counter[Comparison] = field(default_factory=Counter)
    short: int = 0
    wrong: list[tuple[int, Change]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def same(self) -> float:
        """Share of rows that are SAME; nan without rows."""
        return _share(self.verdicts, "SAME")

    @property
    def found(self) -> float:
        """Share of finely resolved rows in which a delay of 10 % is found; nan without rows."""
        return _share(self.delayed, "SLOWER")

    def add(self, before: BenchRun, after: BenchRun) -> None:
        """Compare a pair."""
        self.pairs += 1
        changes, notes = compare(before, after)
        self.notes.update(notes)
        self.verdicts.update(change.verdict for change in changes)
        self.wrong += [
            (self.pairs, change) for change in changes if change.verdict in ("FASTER", "SLOWER")
        ]
        clocks = {(row.implementation, row.case): row.clock for row in after.timings}
        slower = {
            (change.implementation, change.case): change.verdict
            for change in compare(before, delayed(after))[0]
        }
        for change in changes:
            row = change.implementation, change.case
            if change.resolution >= FINE:
                continue
            if DELAY * change.before_s < MIN_DIFFERENCE_S[clocks[row]]:
                self.short += 1
            else:
                self.delayed[slower[row]] += 1


def _share(verdicts: Counter[Comparison], wanted: Comparison) -> float:
    count = verdicts.total()
    return verdicts[wanted] / count if count else float("nan")


def delayed(run: BenchRun) -> BenchRun:
    """Return a run each of whose samples took a tenth longer, without more waiting."""
    return replace(run, timings=tuple(map(_delayed, run.timings)))


def _delayed(timing: Timing) -> Timing:
    added = [DELAY * seconds for seconds in timing.own_s]
    return replace(
        timing,
        wall_s=tuple(s + more for s, more in zip(timing.wall_s, added, strict=True)),
        cpu_s=tuple(s + more for s, more in zip(timing.cpu_s, added, strict=True)),
    )


def repeatability_table(found: Repeatability) -> str:
    """Return the shares, the marks, and the rows that are wrongly FASTER or SLOWER."""
    counts = ", ".join(
        f"{found.verdicts[verdict]} {verdict}"
        for verdict in ("SAME", "AMBIGUOUS", "FASTER", "SLOWER")
    )
    shares = [
        [
            "same code is SAME",
            _percent(found.same),
            f"{SAME_MARK:.0%}",
            _mark(found.same, SAME_MARK),
            f"{found.verdicts.total()} rows: {counts}",
        ],
        [
            f"{DELAY:.0%} more is SLOWER, within less than {FINE:.0%}",
            _percent(found.found),
            f"{FOUND_MARK:.0%}",
            _mark(found.found, FOUND_MARK),
            f"{found.delayed.total()} rows, and {found.short} in which {DELAY:.0%} is less than "
            "the clock's least difference",
        ],
    ]
    parts = [
        f"{found.pairs} pairs of runs of the same code",
        markdown(["", "share", "mark", "", "of"], shares),
    ]
    if found.wrong:
        rows = [
            [
                str(pair),
                change.verdict,
                escape_cell(change.implementation),
                escape_cell(change.case),
                f"{change.ratio:.3f}",
                f"{change.resolution:.1%}",
            ]
            for pair, change in found.wrong
        ]
        head = ["pair", "verdict", "implementation", "case", "ratio", "within"]
        parts.append(markdown(head, rows))
    notes = [f"- {escape_cell(note)} ({count} pairs)" for note, count in found.notes.items()]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def _percent(share: float) -> str:
    return "no rows" if share != share else f"{share:.1%}"


def _mark(share: float, least: float) -> str:
    return "reached" if share >= least else "missed"


def paths_of(folder: Path, pair: int) -> tuple[Path, Path]:
    """Return the files of a pair, counted from 1."""
    return folder / f"pair-{pair:02d}-a.json", folder / f"pair-{pair:02d}-b.json"


def measure_pairs(
    plan: Plan, folder: Path, pairs: int, run_plan: Callable[[Plan, Path], BenchRun]
) -> Repeatability:
    """Run a plan in pairs, and compare them; what the folder has finished is not run again.

    Parameters
    ----------
    plan : Plan
    folder : path
        Receives the files, by :func:`paths_of`.
    pairs : int
    run_plan : function of a plan and a path
        Runs the plan, or continues the file there, and returns the run.

    Raises
    ------
    Interrupted
        If a run was stopped; the same command continues it.
    """
    found = Repeatability()
    for pair in range(1, pairs + 1):
        runs = []
        for path in paths_of(folder, pair):
            runs.append(run_plan(plan, path))
            if not runs[-1].finished:
                raise Interrupted(f"stopped; continue with the same command and -o {folder}")
        found.add(*runs)
    return found


def compared_pairs(folder: Path) -> Repeatability:
    """Compare the pairs of a folder that are finished; run nothing.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = Repeatability()
    for path in sorted(folder.glob("pair-*-a.json")):
        other = path.with_name(path.name.replace("-a.json", "-b.json"))
        runs = [read(each, BenchRun) for each in (path, other) if each.exists()]
        if len(runs) == 2 and all(each.finished for each in runs):
            found.add(*runs)
    if not found.pairs:
        raise ValueError(f"a folder of `bench aa` must have a finished pair; {folder} has none")
    return found


def aa_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench aa`."""
    parser.description = (
        "Run the same plan in pairs on a quiet machine, compare each pair by the rule of "
        "`compare`, and print the share of rows that are SAME, and in which 10 % more is found."
    )
    parser.add_argument("--pairs", type=_positive, default=10, metavar="N")
    parser.add_argument(
        "--preset", default="quick", metavar="NAME|FILE", help=f"{', '.join(preset_names())}"
    )
    parser.add_argument("--device", choices=["auto", *DEVICES])
    parser.add_argument("--implementations", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--T", nargs="+", type=int, default=[], metavar="T")
    parser.add_argument("--mask", nargs="+", default=[])
    parser.add_argument("--gradients", action="store_true", help="backward passes, too")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where the runs go; one with finished runs is continued",
    )
    parser.add_argument(
        "--table", type=Path, metavar="FOLDER", help="run nothing: compare the pairs that are there"
    )


def aa_command(options: argparse.Namespace) -> None:
    """Run and compare the pairs, and print what was found."""
    if options.table is not None:
        print_safe(repeatability_table(compared_pairs(options.table)))
        return
    plan = make_plan(
        load_preset(options.preset),
        Path(options.preset).stem,
        device=options.device,
        implementations=options.implementations,
        query_lens=options.T,
        masks=options.mask,
        gradients=options.gradients,
    )
    # Timed cases are certified; others, and the gradients' own cases, would only take time.
    plan = replace(plan, certified=(), gradients=False)
    folder = options.output or RESULTS / f"aa-{plan.preset}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    log(f"{options.pairs} pairs of runs to {folder}, on {available_cores()} cores: leave them idle")
    cancelled = threading.Event()
    with stopped_by_signals(cancelled), progress_bar() as on_progress:

        def run_plan(plan: Plan, path: Path) -> BenchRun:
            log(str(path))
            return run(plan, output=path, resume=True, progress=on_progress, cancelled=cancelled)

        found = measure_pairs(plan, folder, options.pairs, run_plan)
    print_safe(repeatability_table(found))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1; got {number}")
    return number
