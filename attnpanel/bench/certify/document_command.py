"""The command `attnpanel bench certify`: the certificate of one function or implementation."""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from attnpanel.bench.certify.badge import badge_svg
from attnpanel.bench.certify.cases import select_cases
from attnpanel.bench.certify.document_html import certificate_html
from attnpanel.bench.certify.examination import InChild, Which, examine, repeating_command
from attnpanel.bench.certify.function_observation import FunctionError
from attnpanel.bench.measure.environment import RESULTS
from attnpanel.bench.run.child import ChildFailure
from attnpanel.bench.run.children import Children
from attnpanel.bench.run.planning import Plan
from attnpanel.bench.run.serialization import write
from attnpanel.kernels.request import DType
from attnpanel.kernels.torch_.inputs import DEVICES
from attnpanel.trace.atomic_write import atomic_write_text

if TYPE_CHECKING:
    import argparse

    from attnpanel.bench.certify.document import Certificate

LOG_INTERVAL_S: Final = 15.0
SUFFIXES: Final = (".json", ".html", ".svg")


def certify_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `python -m bench certify`."""
    parser.description = (
        "Certify a function fn(query, key, value, *, mask, scale, is_causal) of NumPy arrays, "
        "PyTorch tensors or JAX arrays, or an Implementation, and write its certificate as HTML "
        "and JSON, with a badge."
    )
    parser.add_argument(
        "subject",
        metavar="module:NAME",
        help="or the name of one of this project's implementations",
    )
    parser.add_argument(
        "--cases",
        choices=get_args(Which),
        default="all",
        help="few: the first of each mask and dtype",
    )
    parser.add_argument("--dtype", nargs="+", choices=get_args(DType), default=[])
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the inputs; drawn anew by default"
    )
    parser.add_argument(
        "--gradients",
        action="store_true",
        help="certify the gradients, too, by PyTorch's autograd or jax.vjp",
    )
    parser.add_argument(
        "--time-limit", type=float, default=120.0, metavar="S", help="of one case, in seconds"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help=f"without suffix (default {RESULTS}/certificate-<name>-<time>)",
    )


def certify_command(options: argparse.Namespace) -> None:
    """Certify a subject in a process of its own, write its certificate and print a summary.

    Raises
    ------
    ValueError
        If it is not certified.
    FileExistsError
        If a file of the certificate exists.
    """
    name = options.subject
    paths = _paths(options.output or _default_path(name))
    for path in paths.values():
        if path.exists():
            raise FileExistsError(f"{path} exists; name another with -o")
    plan = Plan(
        preset="certify",
        certified=tuple(select_cases(options.cases)),
        timed=(),
        implementations=(name,),
        threads=options.threads,
        time_limit_s=options.time_limit,
    )
    children = Children(plan, lambda: False)
    try:
        found = examine(
            InChild(name, children),
            which=options.cases,
            device=options.device,
            dtypes=options.dtype,
            seed=options.seed,
            threads=options.threads,
            gradients=options.gradients,
            command=repeating_command(
                name, options.cases, options.dtype, options.device, gradients=options.gradients
            ),
            on_progress=_Progress(),
        )
    except (ChildFailure, FunctionError) as failure:
        raise ValueError(f"{name} is not certified: {failure}") from None
    finally:
        children.close()
    save_certificate(found, paths[".json"])
    print(summary(found))
    print(f"bench: wrote {', '.join(str(path) for path in paths.values())}", file=sys.stderr)
    if found.verdict != "pass":
        raise ValueError(f"{name} is not certified: {found.summary}")


def save_certificate(certificate: Certificate, path: Path) -> None:
    """Write a certificate as JSON, and beside it as HTML and with its badge.

    Parameters
    ----------
    certificate : Certificate
    path : path
        Of the JSON file; the others have the suffixes .html and .svg.
    """
    write(certificate, path)
    atomic_write_text(path.with_suffix(".html"), [certificate_html(certificate)])
    atomic_write_text(path.with_suffix(".svg"), [badge_svg(certificate)])


def summary(certificate: Certificate) -> str:
    """Return a certificate in a few lines for the terminal, without control characters."""
    lines = [f"{certificate.subject.name}: {certificate.verdict.upper()}. {certificate.summary}"]
    lines += [
        f"  {margin.dtype}: {margin.passed} cases, at most {margin.units:.2f} of "
        f"{margin.limit:g} units, in {margin.case}"
        f"{f'; {margin.not_finite} not finite' if margin.not_finite else ''}"
        for margin in certificate.margins
    ]
    wrong = [case for case in certificate.cases if case.verdict in ("fail", "error")]
    lines += [f"  {case.verdict}: {case.case}: {'; '.join(case.reasons)}" for case in wrong[:5]]
    text = "\n".join(lines)
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")


class _Progress:
    """Prints how many cases are done, every `LOG_INTERVAL_S`."""

    def __init__(self) -> None:
        self._logged_at = time.monotonic()

    def __call__(self, done: int, count: int, case: str) -> None:
        if time.monotonic() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = time.monotonic()
            print(f"bench: {done} of {count} cases: {case}", file=sys.stderr)


def _default_path(name: str) -> Path:
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60]
    return RESULTS / f"certificate-{slug}-{datetime.now(UTC):%Y%m%dT%H%M%S}"


def _paths(base: Path) -> dict[str, Path]:
    """Return the path of each file of a certificate; a suffix that was given is not doubled."""
    if base.suffix in SUFFIXES:
        base = base.with_suffix("")
    return {suffix: base.with_name(base.name + suffix) for suffix in SUFFIXES}
