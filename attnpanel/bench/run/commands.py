"""The commands `python -m bench run | list | show | compare`: arguments and output."""

from __future__ import annotations

import argparse
import itertools
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from attnpanel.attention.mask_table import mask_kinds
from attnpanel.bench.certify.checks_hidden import describe_leaks
from attnpanel.bench.certify.checks_visible import describe_swallowed
from attnpanel.bench.certify.sixteen_bits import describe_rounding
from attnpanel.bench.certify.subject import NOT_IMPORTED
from attnpanel.bench.measure.environment import RESULTS
from attnpanel.bench.product.tables import markdown
from attnpanel.bench.run.comma_separated import run_csv
from attnpanel.bench.run.compare import compare, compare_table, regressions
from attnpanel.bench.run.execute import run
from attnpanel.bench.run.presets import left_out, load_preset, make_plan, preset_names
from attnpanel.bench.run.records import BenchRun
from attnpanel.bench.run.serialization import read
from attnpanel.bench.run.statuses import STATUSES
from attnpanel.bench.run.tables import README_LENGTH, readme_table, run_table
from attnpanel.bench.run.terminal import (
    Interrupted,
    log,
    print_safe,
    progress_bar,
    stopped_by_signals,
)
from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.kernels.request import DType
from attnpanel.kernels.torch_.inputs import DEVICES

if TYPE_CHECKING:
    from collections.abc import Sequence


# What `--fail-on` takes; "error" is also a row that crashed, was killed, hung or ran out of memory.
FAILURES: Final = ("fail", "error", "refused", "unsupported")
# Flags of the timed cases' sizes, which have the names of the fields of `Timed`.
SIZES: Final = (
    ("--batch", "B", "sequences"),
    ("--heads", "H", "query heads"),
    ("--kv-heads", "HKV", "key heads, which groups of query heads share,"),
    ("--head-dim", "D", "channels of query and key"),
    ("--value-dim", "DV", "channels of value (default D)"),
    ("--key-len", "S", "keys (default T)"),
)


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
        help="only these; module:NAME for an Implementation of your own",
    )
    parser.add_argument("--T", nargs="+", type=int, default=[], metavar="T", help="lengths to time")
    parser.add_argument("--mask", nargs="+", choices=mask_kinds(), default=[])
    parser.add_argument("--dtype", nargs="+", choices=get_args(DType), default=[])
    for flag, metavar, words in SIZES:
        parser.add_argument(flag, type=int, metavar=metavar, help=f"{words} of the timed cases")
    parser.add_argument("--bias", action="store_true", default=None, help="time with a bias")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of each implementation")
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="capture calls on a CUDA device, and replay them"
    )
    parser.add_argument(
        "--fail-on",
        type=_verdicts,
        default=(),
        metavar="VERDICT,…",
        help="exit with 1 where a row is one of: fail, error, refused, unsupported (fail,error)",
    )
    parser.add_argument(
        "--gradients",
        action="store_true",
        help="certify gradients, too, where they are declared, and time forward, backward and both",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        metavar="SECONDS",
        help="end after this time; the timed cases come first, in the preset's order",
    )
    parser.add_argument("--certify-only", action="store_true", help="time nothing")
    parser.add_argument(
        "--resume", action="store_true", help="continue the file of -o, if it exists"
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
        help=f"path of the result (default {RESULTS}/run-<preset>-<time>.json)",
    )


def run_command(options: argparse.Namespace) -> None:
    """Run a preset with a progress bar; the first Ctrl-C stops it and keeps the results."""
    if options.resume and options.output is None:
        raise ValueError("--resume continues a file: name it with -o")
    if options.gradients and options.scheduler is not None:
        raise ValueError("--gradients are certified on this machine: leave out --scheduler")
    if options.time_limit is not None and options.scheduler is not None:
        raise ValueError("--time-limit is of a run on this machine: leave out --scheduler")
    preset = load_preset(options.preset)
    plan = make_plan(
        preset,
        Path(options.preset).stem,
        device=options.device,
        implementations=options.implementations,
        query_lens=options.T,
        masks=options.mask,
        dtypes=options.dtype,
        sizes={name: getattr(options, name) for name in (*map(_field, SIZES), "bias")},
        threads=options.threads,
        certify_only=options.certify_only,
        cuda_graphs=options.cuda_graphs,
        gradients=options.gradients,
        run_limit_s=options.time_limit,
    )
    output = options.output or RESULTS / f"run-{plan.preset}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
    if not options.implementations and left_out(preset):
        log(f"left out, because they compile: {', '.join(left_out(preset))}")
    cancelled = threading.Event()
    with stopped_by_signals(cancelled), progress_bar() as on_progress:
        callbacks: dict[str, Any] = {"progress": on_progress, "cancelled": cancelled}
        if options.scheduler is None:
            found = run(plan, output=output, resume=options.resume, **callbacks)
        else:
            from attnpanel.bench.cluster.dask_workers import run_on_cluster

            found = run_on_cluster(
                plan, options.scheduler, output=output, resume=options.resume, **callbacks
            )
    if not found.finished:
        raise Interrupted(
            f"stopped; the results so far are in {output}: continue with the same command "
            f"and --resume -o {output}"
        )
    print_safe(run_table(found))
    log(f"wrote {output}")
    problems = failures(found, named=options.implementations, verdicts=options.fail_on)
    if problems:
        raise ValueError("; ".join(problems))


def failures(
    run: BenchRun, *, named: Sequence[str] = (), verdicts: Sequence[str] = ()
) -> list[str]:
    """Return why a finished run is a failure; empty if it is not.

    Parameters
    ----------
    run : BenchRun
    named : sequence of str
        Implementations that must have been imported.
    verdicts : sequence of str
        Verdicts of certificates, and statuses of rows, that no row may have.
    """
    found = []
    for name in named:
        reasons = [one.reasons for one in run.agreements if one.implementation == name]
        missing = [words for words in itertools.chain(*reasons) if NOT_IMPORTED in words]
        if missing:
            found.append(missing[0].removeprefix("error: ImportError: "))
    if not any(one.verdict in ("pass", "graded") for one in run.agreements):
        found.append("nothing was certified")
    statuses = {"fail": "not certified"}
    for verdict in verdicts:
        rows = {(one.implementation, one.case) for one in run.agreements if one.verdict == verdict}
        status = statuses.get(verdict, verdict)
        broken = STATUSES if verdict == "error" else (status,)
        rows |= {(one.implementation, one.case) for one in run.timings if one.status in broken}
        rows |= {(one.implementation, one.case) for one in run.gradients if one.verdict == verdict}
        if rows:
            name, case = min(rows)
            found.append(f"{len(rows)} rows are {verdict}, the first {name}: {case}")
    return found


def _field(size: tuple[str, str, str]) -> str:
    return size[0].removeprefix("--").replace("-", "_")


def _verdicts(text: str) -> tuple[str, ...]:
    verdicts = tuple(filter(None, text.split(",")))
    unknown = set(verdicts) - set(FAILURES)
    if unknown:
        raise argparse.ArgumentTypeError(
            f"it must be of {', '.join(FAILURES)}; got {', '.join(sorted(unknown))}"
        )
    return verdicts


def list_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench list`: none."""
    parser.description = "Print the implementations and the presets."


def list_command(_: argparse.Namespace) -> None:
    """Print the implementations and the presets."""
    head = ["implementation", "returns", "empty rows", "16 bits: rounds", "leaks of hidden keys"]
    head += ["swallows", "graded", "causal", "devices", "dtypes", "source"]
    rows = [
        [
            implementation.name,
            ", ".join(sorted(implementation.returns)),
            implementation.empty_rows,
            describe_rounding(implementation),
            describe_leaks(implementation),
            describe_swallowed(implementation),
            "yes" if implementation.graded else "",
            implementation.causal_align or "by mask",
            ", ".join(implementation.devices),
            ", ".join(implementation.dtypes),
            implementation.source,
        ]
        for implementation in IMPLEMENTATIONS
    ]
    print(markdown(head, rows))
    print(
        "\n".join(
            f"\n{implementation.name}: {implementation.limits}"
            for implementation in IMPLEMENTATIONS
        )
    )
    print()
    print(markdown(["preset", "about"], [[n, load_preset(n).about] for n in preset_names()]))


def show_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench show`."""
    parser.add_argument("file", type=Path, metavar="RUN.json")
    parser.add_argument(
        "--markdown", action="store_true", help="the short table, as the README has it"
    )
    parser.add_argument(
        "--csv", action="store_true", help="a line for each implementation and case"
    )
    parser.add_argument(
        "--T", type=int, default=README_LENGTH, metavar="T", help="the length of the short table"
    )


def show_command(options: argparse.Namespace) -> None:
    """Print a run."""
    found = read(options.file, BenchRun)
    if options.csv:
        print_safe(run_csv(found))
    else:
        print_safe(readme_table(found, options.T) if options.markdown else run_table(found))


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench compare`."""
    parser.add_argument("before", type=Path, metavar="A.json")
    parser.add_argument("after", type=Path, metavar="B.json")
    parser.add_argument(
        "--fail-if-slower",
        action="store_true",
        help="exit with 1 where a row is SLOWER, lost its certificate or has no time any more",
    )
    parser.add_argument(
        "--fail-if-worse",
        action="store_true",
        help="the same, and where a row needs more memory",
    )


def compare_command(options: argparse.Namespace) -> None:
    """Print how run B differs from run A."""
    before, after = (read(path, BenchRun) for path in (options.before, options.after))
    print_safe(compare_table(before, after))
    if not (options.fail_if_slower or options.fail_if_worse):
        return
    changes = compare(before, after)[0]
    kinds = [one.kind for one in regressions(before, after)]
    counts = {
        "are SLOWER": sum(change.verdict == "SLOWER" for change in changes),
        "lost their certificate": kinds.count("certificate"),
        "have no time any more": kinds.count("status"),
        "need more memory": kinds.count("memory") if options.fail_if_worse else 0,
    }
    found = [f"{count} rows {words}" for words, count in counts.items() if count]
    if found:
        raise ValueError(", ".join(found))
