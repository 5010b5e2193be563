"""`python -m bench run | list | show | compare`: their arguments, and what they print."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.kernels.request import DType
from attnpanel.kernels.torch_inputs import DEVICES
from attnpanel.masks import MaskName
from bench.bench_run import BenchRun
from bench.compare import compare, compare_table
from bench.presets import left_out, load_preset, make_plan, preset_names
from bench.results import read
from bench.run_tables import README_LENGTH, readme_table, run_table
from bench.running import run
from bench.tables import markdown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from bench.progress import Progress

RESULTS: Final = Path("bench/results")
# Where nobody watches a bar, a line this often.
LINE_EVERY_S = 30.0


class Interrupted(Exception):  # noqa: N818 - wished for, not a mistake
    """A run that was asked to stop, and is kept."""


def run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench run`."""
    parser.add_argument(
        "--preset",
        default="quick",
        metavar="NAME|FILE",
        help=f"{', '.join(preset_names())}, or a .toml or .yaml file (default quick)",
    )
    parser.add_argument("--device", choices=["auto", *DEVICES])
    parser.add_argument(
        "--implementations",
        nargs="+",
        default=[],
        metavar="NAME",
        help="these alone; module:NAME for an Implementation of your own",
    )
    parser.add_argument("--T", nargs="+", type=int, default=[], metavar="T", help="lengths to time")
    parser.add_argument("--mask", nargs="+", choices=get_args(MaskName), default=[])
    parser.add_argument("--dtype", nargs="+", choices=get_args(DType), default=[])
    parser.add_argument("--threads", type=int, metavar="N", help="for each implementation")
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="capture calls on a CUDA device, and replay them"
    )
    parser.add_argument("--certify-only", action="store_true", help="time nothing")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the file of -o, where there is one"
    )
    parser.add_argument(
        "--scheduler",
        metavar="tcp://…",
        help="run on the workers of this Dask scheduler, started with --resources timing=1",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.json",
        help=f"where the result goes (default {RESULTS}/run-<preset>-<time>.json)",
    )


def run_command(options: argparse.Namespace) -> None:
    """Carry a preset out, with a bar; the first Ctrl-C stops it and keeps what is done."""
    if options.resume and options.output is None:
        raise ValueError("--resume goes on with a file: name it with -o")
    preset = load_preset(options.preset)
    plan = make_plan(
        preset,
        Path(options.preset).stem,
        device=options.device,
        implementations=options.implementations,
        query_lens=options.T,
        masks=options.mask,
        dtypes=options.dtype,
        threads=options.threads,
        certify_only=options.certify_only,
        cuda_graphs=options.cuda_graphs,
    )
    output = options.output or RESULTS / f"run-{plan.preset}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    if not options.implementations and left_out(preset):
        _say(f"left out, because they compile: {', '.join(left_out(preset))}")
    cancelled = threading.Event()
    with _stopped_by_signals(cancelled), _bar() as told:
        wanted: dict[str, Any] = {"progress": told, "cancelled": cancelled}
        if options.scheduler is None:
            found = run(plan, output=output, resume=options.resume, **wanted)
        else:
            from bench.scheduling import run_on_cluster

            found = run_on_cluster(
                plan, options.scheduler, output=output, resume=options.resume, **wanted
            )
    if not found.finished:
        raise Interrupted(
            f"stopped; what is done is in {output}: go on by the same command "
            f"with --resume -o {output}"
        )
    _show(run_table(found))
    _say(f"wrote {output}")


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench list`: none."""
    parser.description = "Print the implementations and the presets."


def list_command(_: argparse.Namespace) -> None:
    """Print the implementations and the presets."""
    head = ["implementation", "returns", "empty rows", "causal", "devices", "dtypes", "source"]
    rows = [
        [
            one.name,
            ", ".join(sorted(one.returns)),
            one.empty_rows,
            one.causal_align or "by mask",
            ", ".join(one.devices),
            ", ".join(one.dtypes),
            one.source,
        ]
        for one in IMPLEMENTATIONS
    ]
    print(markdown(head, rows))
    print("\n".join(f"\n{one.name}: {one.limits}" for one in IMPLEMENTATIONS))
    print()
    print(markdown(["preset", "about"], [[n, load_preset(n).about] for n in preset_names()]))


def show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench show`."""
    parser.add_argument("file", type=Path, metavar="RUN.json")
    parser.add_argument(
        "--markdown", action="store_true", help="the short table, as the README has it"
    )
    parser.add_argument(
        "--T", type=int, default=README_LENGTH, metavar="T", help="the length of the short table"
    )


def show_command(options: argparse.Namespace) -> None:
    """Print a run."""
    found = read(options.file, BenchRun)
    _show(readme_table(found, options.T) if options.markdown else run_table(found))


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench compare`."""
    parser.add_argument("before", type=Path, metavar="A.json")
    parser.add_argument("after", type=Path, metavar="B.json")
    parser.add_argument(
        "--fail-if-slower", action="store_true", help="exit with 1 where a row is SLOWER"
    )


def compare_command(options: argparse.Namespace) -> None:
    """Print how run B differs from run A."""
    before, after = (read(path, BenchRun) for path in (options.before, options.after))
    _show(compare_table(before, after))
    slower = [one for one in compare(before, after)[0] if one.verdict == "SLOWER"]
    if options.fail_if_slower and slower:
        raise ValueError(f"{len(slower)} rows are SLOWER")


@contextmanager
def _stopped_by_signals(cancelled: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C or SIGTERM stop the run in order; a second Ctrl-C ends it at once."""

    def stop(number: int, _frame: object) -> None:
        if cancelled.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        cancelled.set()
        _say("stopping; once more to stop at once")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Teller:
    """Tells the progress: a bar where somebody watches, else a line now and then."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._told_at = 0.0

    def __call__(self, progress: Progress) -> None:
        left = in_words(progress.remaining_s)
        if not self._bar.disable:
            self._bar.total, self._bar.n = progress.total, progress.done
            self._bar.set_postfix_str(f"{left}  {progress.what[:60]}")
        elif time.monotonic() - self._told_at >= LINE_EVERY_S:
            self._told_at = time.monotonic()
            _say(f"{progress.done} of {progress.total}, {left}: {progress.what}")


def in_words(remaining_s: float | None) -> str:
    """Return how much longer a run takes, no more exactly than it is known."""
    if remaining_s is None:
        return "time left not known yet"
    if remaining_s < 90:
        return f"about {remaining_s:.0f} s left"
    return f"about {remaining_s / 60:.0f} min left"


@contextmanager
def _bar() -> Iterator[_Teller]:
    from tqdm import tqdm  # type: ignore[import-untyped]

    form = "{percentage:3.0f}% {bar:20} {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
    with tqdm(total=1, bar_format=form, disable=None, leave=False) as bar:
        yield _Teller(bar)


def _show(text: str) -> None:
    """Print what a file may have said, without what a terminal would take for a command."""
    print("".join(letter for letter in text if letter.isprintable() or letter == "\n"))


def _say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr)
