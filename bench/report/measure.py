"""Make every file of a preset, open it, and use it."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.browser import ARGUMENTS, WHAT_TO_DO, MeasurementError, find_browser
from bench.environment import describe, load
from bench.report.exporting import Exporter, export
from bench.report.opening import SCRIPT, Watch, opened, watch_for
from bench.report.peers import PEERS, ensure_environment, exporter, versions
from bench.report.results import REPORT_SCHEMA, Change, ReportRun, Row
from bench.sliders import (
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

    from bench.report.cases import Preset, ReportCase, Source
    from bench.report.peers import Peer
    from bench.report.results import Export, Opening
    from bench.sliders import Control

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
    """What every measurement needs."""

    playwright: Any
    browser_path: str
    folder: Path
    preset: Preset

    @contextmanager
    def opened(self, file: Path, watch: Watch, openings: list[Opening]) -> Iterator[Any]:
        """Open a file and yield its page; what was seen of it is added in the end."""
        limit_s = self.preset.open_limit_s
        with opened(self.playwright, self.browser_path, file, watch, limit_s) as one:
            try:
                if not one.drawn:
                    raise MeasurementError(why_nothing(one.opening(), limit_s))
                yield one.page
            finally:
                openings.append(one.opening())

    def export(self, how: Exporter, file: Path, times: int) -> Export:
        return export(how, file, times, self.preset.export_limit_s)

    def file(self, source: Source) -> Path:
        """A trace as a report's export reads it, made once."""
        path = self.folder / f"{source.name}.safetensors"
        if not path.exists():
            source.make().save(path)
        return path

    def weights(self, source: Source) -> Path:
        """The weights of all its heads, as a peer's export reads them, made once."""
        path = self.folder / f"{source.name}.npz"
        if not path.exists():
            trace = source.make()
            weights = [[call.weights(head) for head in range(call.heads)] for call in trace.calls]
            np.savez(path, weights=np.array(weights), tokens=np.array(trace.query_tokens[0]))
        return path


@dataclass
class _Draft:
    """A row while it is being measured."""

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
        """Turn a measurement that fails into the row's status: the run goes on."""
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

    def row(self) -> Row:
        """Return the row as it is now."""
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
    """Measure all that the preset asks for, the peers unless they are not wanted.

    Raises
    ------
    MeasurementError
        If there is no browser, or the peers' environment can't be made. A file that can't be
        written or opened is its row's status.
    """
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise MeasurementError(WHAT_TO_DO)
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
    draft = _Draft(FLOOR, "")
    file = machine.folder / "floor.html"
    with draft.measured():
        draft.export = machine.export(_exporter("panel", "-"), file, times=1)
        for _ in range(machine.preset.floor_openings):
            with machine.opened(file, FLOOR_WATCH, draft.openings):
                pass
    return draft.row()


def _exporter(kind: str, source: str) -> Exporter:
    return Exporter(sys.executable, "bench.report.export", (kind, source))


# -- reports ---------------------------------------------------------------------------------


def _report(machine: _Machine, case: ReportCase) -> Row:
    draft = _Draft(OURS, case.source.name, case.values)
    file = machine.folder / "report.html"
    kind = "report-with" if case.values else "report-without"
    aggregate = _shown(AGGREGATE, case)
    aggregated: list[dict[str, Any]] = []
    with draft.measured():
        how = _exporter(kind, str(machine.file(case.source)))
        draft.export = machine.export(how, file, case.exports)
        for last in [False] * (case.openings - 1) + [True]:
            with machine.opened(file, REPORT_WATCH, draft.openings) as page:
                if not case.presses:
                    continue
                _start_watching(page, case)
                # In a page of its own: the mean leaves every head's scores behind.
                if last:
                    draft.changes += [_change(page, control, case) for control in CONTROLS]
                focus(page, aggregate)
                aggregated.append(press(page, aggregate, case.source.query_len, check=last))
        if aggregated:
            draft.changes.append(_as_change(aggregate, case, aggregated, lost=0))
    return draft.row()


def _start_watching(page: Any, case: ReportCase) -> None:
    page.evaluate("attnBench.watch()")
    settle(page, f"opening {case.source.name}", SETTLE_LIMIT_S)


def _change(page: Any, control: Control, case: ReportCase) -> Change:
    control = _shown(control, case)
    # Each head for the first time: the one it opened on is drawn, and one press warms up.
    presses = min(case.presses, case.source.heads - 2) if control.name == "head" else case.presses
    taken, lost = samples(page, control, case.source.query_len, presses)
    return _as_change(control, case, taken, lost)


def _as_change(
    control: Control, case: ReportCase, taken: list[dict[str, Any]], lost: int
) -> Change:
    gaps = tuple(sample["longest_gap_s"] for sample in taken[:-1])
    return Change(interaction_of(control, case.source.query_len, taken, lost), gaps)


def _shown(control: Control, case: ReportCase) -> Control:
    """Return the control without the plot that a report without values leaves out."""
    if case.values:
        return control
    return replace(control, plots=tuple(plot for plot in control.plots if plot != "output"))


# -- peers -----------------------------------------------------------------------------------


def _peer(machine: _Machine, name: str, source: Source, python: Path) -> Row:
    peer = PEERS[name]
    draft = _Draft(peer.tool, source.name)
    file = machine.folder / "peer.html"
    with draft.measured():
        how = exporter(name, machine.weights(source), python)
        draft.export = machine.export(how, file, times=1)
        with machine.opened(file, watch_for(peer.drawn), draft.openings) as page:
            if peer.next_head is not None:
                draft.head_s = _next_head(page, peer, machine.preset.open_limit_s)
    file.unlink(missing_ok=True)  # hundreds of megabytes
    return draft.row()


def _next_head(page: Any, peer: Peer, limit_s: float) -> float:
    from playwright.sync_api import TimeoutError  # noqa: A004 - playwright's own name

    page.evaluate(f"() => void reportBench.change({peer.next_head})")
    changed = "reportBench.changedMs"
    try:
        page.wait_for_function(f"{changed} !== null", timeout=limit_s * 1000)
    except TimeoutError:
        raise MeasurementError(f"another head took longer than {limit_s:.0f} s") from None
    return float(page.evaluate(changed)) / 1000


def why_nothing(opening: Opening, limit_s: float) -> str:
    """Say why a page has drawn nothing, as far as it shows."""
    asked = [address for address in opening.requests if address.startswith(("http:", "https:"))]
    # Chromium's own line for a refused request says nothing that the request doesn't.
    errors = [error for error in opening.errors if not error.startswith("Failed to load resource")]
    if asked:
        said = f", then: {errors[0]}" if errors else ""
        return f"needs a network: asked for {asked[0]}{said}"
    if errors:
        return f"nothing drawn: {errors[0]}"
    return f"nothing drawn within {limit_s:.0f} s"
