"""Write, open and use every file of a preset."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.bench.browser import ARGUMENTS, INSTALL_HINT, MeasurementError, find_browser
from attnpanel.bench.measure.environment import describe, load
from attnpanel.bench.product.report.exporting import Exporter, export
from attnpanel.bench.product.report.opening import SCRIPT, Watch, opened, watch_for
from attnpanel.bench.product.report.peers import PEERS, ensure_environment, exporter, versions
from attnpanel.bench.product.report.results import REPORT_SCHEMA, Change, ReportRun, Row
from attnpanel.bench.product.sliders import (
    AGGREGATE,
    CONTROLS,
    focus,
    interaction_of,
    press,
    samples,
    settle,
    watching_script,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnpanel.bench.product.report.cases import Preset, ReportCase, Source
    from attnpanel.bench.product.report.peers import Peer
    from attnpanel.bench.product.report.results import Export, Opening
    from attnpanel.bench.product.sliders import Control

OURS = "attnpanel"
FLOOR = "empty Panel page"
SETTLE_LIMIT_S = 60.0
REPORT_WATCH = Watch(
    f"{watching_script(frames=True)}\n{SCRIPT.read_text('utf-8')}\n"
    "installReportBench(() => attnBench.firstPaintMs !== null)",
    "window.attnBench?.firstPaintMs ?? null",
)
FLOOR_WATCH = watch_for("(window.Bokeh?.index?.roots.length ?? 0) > 0")


@dataclass(frozen=True)
class _Machine:
    """Browser, folder and limits shared by all measurements."""

    playwright: Any
    browser_path: str
    folder: Path
    preset: Preset

    @contextmanager
    def opened(self, file: Path, watch: Watch, openings: list[Opening]) -> Iterator[Any]:
        """Open a file and yield its page; append its measurements to `openings` at the end."""
        limit_s = self.preset.open_limit_s
        with opened(self.playwright, self.browser_path, file, watch, limit_s) as open_page:
            try:
                if not open_page.drawn:
                    raise MeasurementError(explain_blank_page(open_page.opening(), limit_s))
                yield open_page.page
            finally:
                openings.append(open_page.opening())

    def export(self, how: Exporter, file: Path, times: int) -> Export:
        return export(how, file, times, self.preset.export_limit_s)

    def file(self, source: Source) -> Path:
        """Return the file of a trace for a report's export, written once."""
        path = self.folder / f"{source.name}.safetensors"
        if not path.exists():
            source.make().save(path)
        return path

    def weights(self, source: Source) -> Path:
        """Return the file of all heads' weights for a peer's export, written once."""
        path = self.folder / f"{source.name}.npz"
        if not path.exists():
            trace = source.make()
            weights = [[call.weights(head) for head in range(call.heads)] for call in trace.calls]
            np.savez(path, weights=np.array(weights), tokens=np.array(trace.query_tokens[0]))
        return path


@dataclass
class _RowInProgress:
    """The measurements of a row so far."""

    tool: str
    trace: str
    values: bool | None = None
    status: str = "ok"
    export: Export | None = None
    openings: list[Opening] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    head_s: float | None = None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Turn the failure of a measurement into the row's status, so that the run continues."""
        from playwright.sync_api import Error

        values = {True: ", with values", False: ", without values", None: ""}[self.values]
        print(f"bench report: {self.tool} {self.trace}{values}", file=sys.stderr, flush=True)
        try:
            yield
        except MeasurementError as error:
            self.status = str(error)
        except Error as error:
            self.status = f"the browser failed: {error.message.splitlines()[0][:200]}"
        if self.status != "ok":
            print(f"bench report: {self.status}", file=sys.stderr, flush=True)

    def finish(self) -> Row:
        """Return the row with the measurements so far."""
        return Row(
            self.tool,
            self.trace,
            self.values,
            self.status,
            self.export,
            tuple(self.openings),
            tuple(self.changes),
            self.head_s,
        )


def measure(preset: Preset, *, peers: bool = True) -> ReportRun:
    """Measure everything in the preset, optionally without the peers.

    Raises
    ------
    MeasurementError
        If there is no browser, or the peers' environment can't be created. Failures to write or
        open a file become the status of its row.
    """
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise MeasurementError(INSTALL_HINT)
    python = ensure_environment() if peers and preset.peers else None
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        environment = describe(f"Chromium {browser.version}, headless, network off")
        browser.close()
        machine = _Machine(playwright, path, Path(folder), preset)
        rows = [_floor(machine)] if preset.floor_openings else []
        rows += [_report(machine, case) for case in preset.reports]
        if python is not None:
            for source, names in preset.peers:
                rows += [_peer(machine, name, source, python) for name in names]
    return ReportRun(
        schema=REPORT_SCHEMA,
        preset=preset.name,
        environment=replace(environment, load_after=load()),
        peers=versions() if python is not None else {},
        rows=tuple(rows),
    )


def _floor(machine: _Machine) -> Row:
    row = _RowInProgress(FLOOR, "")
    file = machine.folder / "floor.html"
    with row.measured():
        row.export = machine.export(_exporter("panel", "-"), file, times=1)
        for _ in range(machine.preset.floor_openings):
            with machine.opened(file, FLOOR_WATCH, row.openings):
                pass
    return row.finish()


def _exporter(kind: str, source: str) -> Exporter:
    return Exporter(sys.executable, "attnpanel.bench.product.report.export", (kind, source))


def _report(machine: _Machine, case: ReportCase) -> Row:
    row = _RowInProgress(OURS, case.source.name, case.values)
    file = machine.folder / "report.html"
    kind = "report-with" if case.values else "report-without"
    aggregate = _visible_plots(AGGREGATE, case)
    aggregated: list[dict[str, Any]] = []
    with row.measured():
        how = _exporter(kind, str(machine.file(case.source)))
        row.export = machine.export(how, file, case.exports)
        for last in [False] * (case.openings - 1) + [True]:
            with machine.opened(file, REPORT_WATCH, row.openings) as page:
                if not case.presses:
                    continue
                _start_watching(page, case)
                # Before the mean, which stays on screen.
                if last:
                    row.changes += [_change(page, control, case) for control in CONTROLS]
                focus(page, aggregate)
                aggregated.append(press(page, aggregate, case.source.query_len, check=last))
        if aggregated:
            row.changes.append(_as_change(aggregate, case, aggregated, lost=0))
    return row.finish()


def _start_watching(page: Any, case: ReportCase) -> None:
    page.evaluate("attnBench.watch()")
    settle(page, f"opening {case.source.name}", SETTLE_LIMIT_S)


def _change(page: Any, control: Control, case: ReportCase) -> Change:
    control = _visible_plots(control, case)
    # Each head only once: the initial head is drawn already, and one press is the warm-up.
    presses = min(case.presses, case.source.heads - 2) if control.name == "head" else case.presses
    taken, lost = samples(page, control, case.source.query_len, presses)
    return _as_change(control, case, taken, lost)


def _as_change(
    control: Control, case: ReportCase, taken: list[dict[str, Any]], lost: int
) -> Change:
    gaps = tuple(sample["longest_gap_s"] for sample in taken[:-1])
    return Change(interaction_of(control, case.source.query_len, taken, lost), gaps)


def _visible_plots(control: Control, case: ReportCase) -> Control:
    """Return the control without the output plot if the report has no values."""
    if case.values:
        return control
    return replace(control, plots=tuple(plot for plot in control.plots if plot != "output"))


def _peer(machine: _Machine, name: str, source: Source, python: Path) -> Row:
    peer = PEERS[name]
    row = _RowInProgress(peer.tool, source.name)
    file = machine.folder / "peer.html"
    with row.measured():
        how = exporter(name, machine.weights(source), python)
        row.export = machine.export(how, file, times=1)
        with machine.opened(file, watch_for(peer.drawn), row.openings) as page:
            if peer.next_head is not None:
                row.head_s = _next_head(page, peer, machine.preset.open_limit_s)
    file.unlink(missing_ok=True)  # hundreds of megabytes
    return row.finish()


def _next_head(page: Any, peer: Peer, limit_s: float) -> float:
    from playwright.sync_api import TimeoutError  # noqa: A004 - playwright's own name

    page.evaluate(f"() => void reportBench.change({peer.next_head})")
    changed = "reportBench.changedMs"
    try:
        page.wait_for_function(f"{changed} !== null", timeout=limit_s * 1000)
    except TimeoutError:
        raise MeasurementError(f"another head took longer than {limit_s:.0f} s") from None
    return float(page.evaluate(changed)) / 1000


def explain_blank_page(opening: Opening, limit_s: float) -> str:
    """Return the likely reason why a page has drawn nothing."""
    requested = [address for address in opening.requests if address.startswith(("http:", "https:"))]
    # Chromium's message on a refused request adds nothing to the request itself.
    errors = [error for error in opening.errors if not error.startswith("Failed to load resource")]
    if requested:
        consequence = f", then: {errors[0]}" if errors else ""
        return f"needs a network: asked for {requested[0]}{consequence}"
    if errors:
        return f"nothing drawn: {errors[0]}"
    return f"nothing drawn within {limit_s:.0f} s"
