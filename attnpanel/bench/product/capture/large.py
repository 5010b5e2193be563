"""`python -m bench capture --large`: what a layer of many tokens costs, each task in a process."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from attnpanel.bench.measure.environment import Environment, describe, load
from attnpanel.bench.measure.process_use import measured
from attnpanel.bench.product.tables import environment_lines, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.trace import Trace

LARGE_SCHEMA: Final = "attnpanel.bench-large/1"
HEAD_DIM = 64
# Task, T, heads and the marks: seconds and bytes.
LARGE = (
    ("first picture", 8192, 12, 5.0, 1e9),
    ("report", 8192, 12, 15.0, 1e9),
    ("analyze", 8192, 12, 20.0, None),
    ("first picture", 32_768, 1, None, None),
)
QUICK_LARGE = tuple((name, 128, 2, None, None) for name in ("first picture", "report", "analyze"))


@dataclass(frozen=True)
class LargeTask:
    """One measured task.

    Attributes
    ----------
    name : str
    query_len, heads : int
        T = S and H of the one layer; D = Dv = 64.
    wall_s, cpu_s : float
        Of the task alone; CPU seconds are those of all threads.
    peak_bytes : int or None
        Of the process, with Python, its libraries and the layer.
    most_s, most_bytes : float or None
        The marks.
    """

    name: str
    query_len: int
    heads: int
    wall_s: float
    cpu_s: float
    peak_bytes: int | None
    most_s: float | None
    most_bytes: float | None


@dataclass(frozen=True)
class LargeRun:
    """One run of `python -m bench capture --large`."""

    schema: Literal["attnpanel.bench-large/1"]
    environment: Environment
    tasks: tuple[LargeTask, ...]


def measure_large(
    tasks: tuple[tuple[str, int, int, float | None, float | None], ...] = LARGE,
) -> LargeRun:
    """Run each task in a process of its own.

    Raises
    ------
    subprocess.CalledProcessError
        If one fails.
    """
    environment = describe(None)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "used.json"
        for name, query_len, heads, most_s, most_bytes in tasks:
            options = [name, str(query_len), str(heads), str(result)]
            subprocess.run([sys.executable, "-m", __name__, *options], check=True)
            used = json.loads(result.read_text(encoding="utf-8"))
            found.append(
                LargeTask(name, query_len, heads, **used, most_s=most_s, most_bytes=most_bytes)
            )
    return LargeRun(LARGE_SCHEMA, replace(environment, load_after=load()), tuple(found))


def large_table(run: LargeRun) -> str:
    """Return a run as Markdown."""
    head = ("task", "T", "heads", "wall s", "at most", "CPU s", "peak MB", "at most")
    rows = [
        [
            task.name,
            f"{task.query_len:,}",
            str(task.heads),
            f"{task.wall_s:.1f}",
            "" if task.most_s is None else f"{task.most_s:.0f}",
            f"{task.cpu_s:.1f}",
            "" if task.peak_bytes is None else f"{task.peak_bytes / 1e6:.0f}",
            "" if task.most_bytes is None else f"{task.most_bytes / 1e6:.0f}",
        ]
        for task in run.tasks
    ]
    return f"{markdown(head, rows)}\n\n{environment_lines(run.environment)}"


def _first_picture(trace: Trace, _folder: Path) -> None:
    """Answer what a served page asks before it draws a layer that it cannot compute."""
    from attnpanel.explorer.layer_answers import LayerAnswers
    from attnpanel.explorer.state import ExplorerState
    from attnpanel.explorer.transport import choices_of
    from attnpanel.ui.session_callbacks import SessionScheduler

    answers: list[dict[str, object]] = []
    asked = LayerAnswers(trace, SessionScheduler(), answers.append)
    state = choices_of(ExplorerState(trace)) | {"trace": 1}
    for number, kind in enumerate(("matrices", "row", "colours")):
        asked.ask({"kind": kind, "id": number, "layers": [0], "state": state})
    wrong = [answer["error"] for answer in answers if "error" in answer]
    if wrong or len(answers) != 3:
        raise RuntimeError(f"expected three answers; got {len(answers)}, {wrong}")


def _report(trace: Trace, folder: Path) -> None:
    from attnpanel.pages.explorer.report import save_report

    save_report(trace, folder / "large.html")


def _analyze(trace: Trace, _folder: Path) -> None:
    trace.analyze()


TASKS: Mapping[str, Callable[[Trace, Path], None]] = {
    "first picture": _first_picture,
    "report": _report,
    "analyze": _analyze,
}


def _layer(query_len: int, heads: int) -> Trace:
    import numpy as np

    from attnpanel.trace import AttentionCall, Trace

    numbers, shape = np.random.default_rng(0), (1, heads, query_len, HEAD_DIM)
    query, key, value = (numbers.standard_normal(shape, dtype=np.float32) for _ in range(3))
    tokens = [f"t{position % 997}" for position in range(query_len)]
    call = AttentionCall("layer.0", 0, query=query, key=key, value=value, causal="top_left")
    return Trace([call], query_tokens=[tokens])


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("query_len", type=int)
    parser.add_argument("heads", type=int)
    parser.add_argument("result", type=Path)
    options = parser.parse_args()
    trace = _layer(options.query_len, options.heads)
    with tempfile.TemporaryDirectory() as folder, measured(options.result):
        TASKS[options.task](trace, Path(folder))


if __name__ == "__main__":
    _main()
