"""The result of `python -m bench report`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from attnpanel.bench.measure.environment import Environment  # noqa: TC001 - get_type_hints looks it up
from attnpanel.bench.run.serialization import Interaction, Samples, check_seconds

REPORT_SCHEMA: Final = "attnpanel.bench-report/1"


@dataclass(frozen=True)
class Export:
    """A file written several times, each in a fresh process.

    Attributes
    ----------
    file_bytes : int
    wall_s, cpu_s : tuple of float
        Duration and CPU time of the export in each process.
    extra_peak_bytes : tuple of int or None
        Peak resident memory above that of a process that did everything but export; None if
        unknown.
    """

    file_bytes: int
    wall_s: Samples
    cpu_s: Samples
    extra_peak_bytes: tuple[int, ...] | None

    def __post_init__(self) -> None:
        check_seconds("wall_s", self.wall_s)
        check_seconds("cpu_s", self.cpu_s)
        if self.file_bytes < 1:
            raise ValueError(f"file_bytes must be at least 1; got {self.file_bytes}")


@dataclass(frozen=True)
class Opening:
    """A file opened once in a fresh browser.

    Attributes
    ----------
    drawn_s, drawn_cpu_s : float or None
        Time and the renderer's CPU time until the first plot; None without one.
    rest_cpu_s : float or None
        CPU time of the renderer until it was idle; None if it never was.
    elements, nodes : int or None
        Number of elements, shadow roots included, and Chromium's count of nodes; None if the page
        did not respond.
    renderer_bytes : int or None
        Resident memory of the renderer at the end.
    errors, requests : tuple of str
        Console errors and exceptions; addresses requested besides the file itself.
    """

    drawn_s: float | None
    drawn_cpu_s: float | None
    rest_cpu_s: float | None
    elements: int | None
    nodes: int | None
    renderer_bytes: int | None
    errors: tuple[str, ...]
    requests: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("drawn_s", "drawn_cpu_s", "rest_cpu_s"):
            seconds = getattr(self, name)
            if seconds is not None:
                check_seconds(name, (seconds,))


@dataclass(frozen=True)
class Change:
    """Latencies of one control of a report.

    Attributes
    ----------
    interaction : Interaction
    longest_gap_s : tuple of float
        Longest time without an animation frame for each press.
    """

    interaction: Interaction
    longest_gap_s: Samples

    def __post_init__(self) -> None:
        check_seconds("longest_gap_s", self.longest_gap_s)
        if len(self.longest_gap_s) != len(self.interaction.paint_s):
            raise ValueError(
                "longest_gap_s and paint_s must have the same length; "
                f"got {len(self.longest_gap_s)} and {len(self.interaction.paint_s)}"
            )


@dataclass(frozen=True)
class Row:
    """Measurements of one tool's file of one trace.

    Attributes
    ----------
    tool, trace : str
    values : bool or None
        Whether the file holds values; None if the tool does not use them.
    status : str
        "ok", or why the row is incomplete.
    export : Export or None
    openings : tuple of Opening
    changes : tuple of Change
    head_s : float or None
        Seconds of one change of the head in a peer's page; None if not tried.
    """

    tool: str
    trace: str
    values: bool | None
    status: str
    export: Export | None
    openings: tuple[Opening, ...]
    changes: tuple[Change, ...]
    head_s: float | None

    def __post_init__(self) -> None:
        if self.head_s is not None and not (math.isfinite(self.head_s) and self.head_s >= 0):
            raise ValueError(f"head_s must be seconds, 0 or more; got {self.head_s}")


@dataclass(frozen=True)
class ReportRun:
    """One run of `python -m bench report`.

    Attributes
    ----------
    schema, preset : str
    environment : Environment
    peers : dict of str to str
        Version of each peer; empty if they were skipped.
    rows : tuple of Row
    """

    schema: Literal["attnpanel.bench-report/1"]
    preset: str
    environment: Environment
    peers: dict[str, str]
    rows: tuple[Row, ...]
