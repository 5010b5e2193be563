"""Write one report, in a process of its own.

``python -m attnpanel.bench.product.report.export KIND SOURCE OUTPUT.html|- RESULT.json``: KIND is
"report-with" or "report-without" values, for the trace file SOURCE, or "panel", an empty page saved
by Panel. With "-" the process loads everything but exports nothing; its memory is the baseline.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import panel as pn
from bokeh.resources import INLINE

from attnpanel.bench.measure.process_use import measured
from attnpanel.pages.explorer.report import save_report
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable


def report(source: str, *, values: bool) -> Callable[[str], object]:
    """Load a trace and return a function that writes its report."""
    trace = Trace.load(source)
    return lambda output: save_report(trace, output, values=values)


def empty_page() -> Callable[[str], object]:
    """Return a function that writes an empty Panel page, the minimum for any Panel page."""
    pn.extension(inline=True)
    return lambda output: pn.Column(pn.pane.Str("")).save(output, resources=INLINE, title="empty")


def main(kind: str, source: str, output: str, result: str) -> None:
    """Export unless `output` is "-"; write the measurements to `result`."""
    export = empty_page() if kind == "panel" else report(source, values=kind == "report-with")
    with measured(Path(result)):
        if output != "-":
            export(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
