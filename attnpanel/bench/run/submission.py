"""Submit runs: a validated file each in docs/results, and a page made of all that are there."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attnpanel.bench.measure.environment import ROOT
from attnpanel.bench.measure.roofline import share_of_limit
from attnpanel.bench.offline.cases import IMPLEMENTATIONS as OFFLINE
from attnpanel.bench.product.tables import environment_lines, escape_cell, markdown
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read, write
from attnpanel.bench.run.tables import README_LENGTH, certificates, limits_of, median_s
from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.trace.atomic_write import atomic_write_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from attnpanel.bench.certify.cases import Case

FOLDER: Final = ROOT / "docs" / "results"
PAGE: Final = "README.md"
NEVER: Final = "never run by us"
INTRODUCTION: Final = """# Results by machine

What `attnpanel bench submit` was given, validated: a finished run of a clean checkout on a machine
that was not busy, of this repository's implementations only. A cell has the median time of a call
and the share of the limit that was measured on the same machine in the same run. The files hold
every sample: `attnpanel bench show FILE` prints one as tables, `attnpanel bench compare` compares
two.

To add a machine: `attnpanel bench run --preset full -o FILE`, on a CUDA device
`attnpanel bench run --preset gpu --time-limit 420 -o FILE`, then `attnpanel bench submit FILE`. It
writes a file here and makes this page anew; send both as a pull request.
"""


def submit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench submit`."""
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN.json", help="results of `bench run`"
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where they go (default docs/results)"
    )


def submit_command(options: argparse.Namespace) -> None:
    """Validate and copy runs, and make the page of all submitted runs anew."""
    runs = [(path, read(path, BenchRun)) for path in options.runs]
    for path, run in runs:
        if reasons := refusals(run):
            raise ValueError(f"{path} can't be submitted: {'; '.join(reasons)}")
    for _, run in runs:
        target = options.folder / file_name(run)
        write(without_serial_numbers(run), target)
        print(f"bench: wrote {target}", file=sys.stderr)
    options.folder.mkdir(parents=True, exist_ok=True)
    page = options.folder / PAGE
    atomic_write_text(page, [results_page(submitted(options.folder))])
    print(f"bench: wrote {page}", file=sys.stderr)


def refusals(run: BenchRun) -> list[str]:
    """Return every reason why a run is no evidence for others; empty if there is none."""
    environment = run.environment
    foreign = [name for name in run.implementations if ":" in name and name not in _known()]
    reasons = {
        "a run must be finished; `bench run --resume` continues it": not run.finished,
        "a run must be of a clean checkout of a commit": environment.dirty is not False,
        "no case was timed": not any(timing.wall_s for timing in run.timings),
        f"the machine must not be busy; its load was {environment.load_before} on "
        f"{environment.cores} cores": environment.noisy,
        f"only this repository's implementations can be compared; got {', '.join(foreign)}": bool(
            foreign
        ),
    }
    return [reason for reason, applies in reasons.items() if applies]


def file_name(run: BenchRun) -> str:
    """Return a file name of machine, date and content, which no other run has."""
    digest = hashlib.sha256(json.dumps(asdict(run), sort_keys=True).encode()).hexdigest()[:8]
    words = re.sub(r"[^a-z0-9]+", "-", _machine(run).lower()).strip("-")
    return f"{words[:60].strip('-')}-{run.environment.date_utc[:10]}-{digest}.json"


def without_serial_numbers(run: BenchRun) -> BenchRun:
    """Return a run without the serial numbers of its GPUs."""
    machine = {
        name: "; ".join(part for part in words.split("; ") if not part.startswith("uuid "))
        for name, words in run.machine.items()
    }
    return replace(run, machine=machine)


def submitted(folder: Path) -> list[BenchRun]:
    """Return the runs of a folder, newest first.

    Raises
    ------
    attnpanel.bench.run.serialization.ResultFileError
        If a file there is no result.
    """
    runs = [read(path, BenchRun) for path in sorted(folder.glob("*.json"))]
    return sorted(runs, key=lambda run: run.environment.date_utc, reverse=True)


def results_page(runs: Sequence[BenchRun]) -> str:
    """Return the page: a table of machines and implementations a case, then certificates."""
    newest = {_machine(run): run for run in reversed(runs)}
    parts = [INTRODUCTION.rstrip()]
    if not runs:
        parts.append("No run has been submitted yet.")
    for case in _cases(list(newest.values())):
        parts += [f"## {escape_cell(case.name)}", _case_table(case, newest)]
    for run in runs:
        heading = f"## {escape_cell(_machine(run))}, {run.environment.date_utc[:10]}"
        parts += [heading, environment_lines(run.environment), certificates(run)]
    return "\n\n".join(parts) + "\n"


def _case_table(case: Case, machines: dict[str, BenchRun]) -> str:
    seen = {row.implementation for run in machines.values() for row in run.agreements}
    rows = []
    for name in _known():
        cells = [_cell(run, case, name) for run in machines.values()]
        rows.append([escape_cell(name), *(cells if name in seen else [NEVER] * len(cells))])
    return markdown(["implementation", *map(escape_cell, machines)], rows)


def _cell(run: BenchRun, case: Case, name: str) -> str:
    for timing in run.timings:
        if (timing.implementation, timing.case) == (name, case.name):
            if not timing.wall_s:
                return timing.status
            limits = limits_of(run, case)
            share = (
                "" if limits is None else f", {share_of_limit(case.request, limits, timing):.0%}"
            )
            return f"{median_s(timing) * 1e3:.2f} ms{share}"
    return ""


def _cases(runs: Sequence[BenchRun]) -> list[Case]:
    """Return the timed cases of one length, each once, in the order of the runs."""
    found: dict[str, Case] = {}
    for run in runs:
        timed = {timing.case for timing in run.timings if timing.wall_s}
        for case in run.cases:
            if case.name in timed and case.request.query_len == README_LENGTH:
                found.setdefault(case.name, case)
    return list(found.values())


def _known() -> list[str]:
    adapters = sorted((ROOT / "attnpanel" / "bench" / "adapters").glob("[a-z]*.py"))
    names = [f"attnpanel.bench.adapters.{path.stem}:attention" for path in adapters]
    known = [implementation.name for implementation in IMPLEMENTATIONS]
    return list(dict.fromkeys([*known, *OFFLINE, *names]))


def _machine(run: BenchRun) -> str:
    """Return the name of the device that was measured: the GPU if there is one."""
    if any(case.request.device == "cuda" for case in run.cases):
        words = "; ".join(words for name, words in run.machine.items() if name.startswith("gpu "))
        found = re.search(r"(?:^|; )name ([^;]+)", words)
        if found:
            return found[1].strip()
    return f"{run.environment.cpu_model}, {run.environment.cores} cores"
