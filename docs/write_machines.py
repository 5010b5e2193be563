"""Write attnpanel/pages/variants/machines.json: machines and measured times for `/variants`.

``python docs/write_machines.py`` rewrites it from the datasheets of the bench and the newest
finished run of each machine in ``bench/results`` and ``docs/results``. A test holds every number of
it to the file that it names.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.measure.datasheets import DATASHEETS
from attnpanel.bench.measure.flop_count import flops, minimal_bytes
from attnpanel.bench.measure.roofline import share_of_limit
from attnpanel.bench.page.runs import runs_in

if TYPE_CHECKING:
    from attnpanel.bench.run.records import BenchRun, Limits

ROOT = Path(__file__).parents[1]
FOLDERS = ("bench/results", "docs/results")
PAGE = ROOT / "attnpanel" / "pages" / "variants" / "machines.json"


def main() -> None:
    """Write the file."""
    PAGE.write_text(json.dumps(machines(), indent=1) + "\n", encoding="utf-8")


def machines() -> dict[str, Any]:
    """Return datasheets, measured machines and times as plain data."""
    newest: dict[tuple[str, str, int], tuple[str, BenchRun, Limits]] = {}
    for name, run in sorted(finished_runs().items(), key=lambda item: item[1].environment.date_utc):
        for limits in run.limits:
            newest[title_of(run, limits), limits.dtype, limits.threads] = (name, run, limits)
    rows = [
        measured_row(title, name, run, limits)
        for (title, *_), (name, run, limits) in newest.items()
    ]
    rows.sort(key=lambda row: row["date"], reverse=True)  # the page opens with the first
    return {"datasheets": [datasheet_row(sheet) for sheet in DATASHEETS], "measured": rows}


def finished_runs() -> dict[str, BenchRun]:
    """Return the finished runs of the bench among the committed results, by their path."""
    return {
        f"{folder}/{name}": run
        for folder in FOLDERS
        for name, run in runs_in(ROOT / folder)[0].items()
        if run.finished
    }


def title_of(run: BenchRun, limits: Limits) -> str:
    """Return the processor's name; of a CPU with the number of threads."""
    if limits.device == "cuda":
        name = re.search(r"name ([^;]+)", run.machine.get("gpu 0", ""))
        return name.group(1) if name else "CUDA device"
    plural = "s" * (limits.threads != 1)
    return f"{run.environment.cpu_model}, {limits.threads} thread{plural}"


def datasheet_row(sheet: Any) -> dict[str, Any]:
    """Return a datasheet as plain data."""
    return {
        "title": sheet.title,
        "flops_per_s": sheet.flops_per_s,
        "bytes_per_s": sheet.bytes_per_s,
    }


def measured_row(title: str, name: str, run: BenchRun, limits: Limits) -> dict[str, Any]:
    """Return a machine's measured limits, and its fastest certified time of each case."""
    return {
        "title": title,
        "file": name,
        "date": run.environment.date_utc[:10],
        "dtype": limits.dtype,
        "flops_per_s": max(limits.gemm_flops_per_s),
        "bytes_per_s": max(limits.copy_bytes_per_s),
        "times": times(run, limits),
    }


def times(run: BenchRun, limits: Limits) -> list[dict[str, Any]]:
    """Return the fastest certified implementation of each case, forward, at these limits."""
    units = {
        (agreement.implementation, agreement.case): agreement.max_ratio
        for agreement in run.agreements
        if agreement.verdict == "pass" and agreement.basis == "computed"
    }
    rows = []
    for case in run.cases:
        request = case.request
        if (request.device, request.dtype, request.direction) != (
            limits.device,
            limits.dtype,
            "forward",
        ):
            continue
        timed = [
            (float(np.median(timing.own_s)), timing)
            for timing in run.timings
            if timing.case == case.name
            and timing.wall_s
            and timing.threads == limits.threads
            and (timing.implementation, case.name) in units
        ]
        if not timed:
            continue
        median, fastest = min(timed, key=lambda row: row[0])
        rows.append(
            {
                "implementation": fastest.implementation,
                "mask": request.mask,
                "window": request.window,
                "B": request.batch,
                "H": request.heads,
                "Hkv": request.kv_heads,
                "T": request.query_len,
                "S": request.key_len,
                "D": request.head_dim,
                "seconds": median,
                "flops": flops(request),
                "bytes": minimal_bytes(request),
                "share": share_of_limit(request, limits, fastest),
                "units": units[fastest.implementation, case.name],
            }
        )
    return rows


if __name__ == "__main__":
    main()
