"""Moves the explorer's controls as a reader does, in a page that bench/ui.js watches.

A slider is moved by real arrow keys on its focused handle. That goes all the way a reader's
key goes: through the slider's own code, the browser's model, the server or whatever computes
instead of it, and back; setting the model's value would skip the first steps and would not
notice a slider that loses its focus. The slider walks from end to end and back, so that every
press shows something else than the one before.

A press counts from the moment the browser received the key (the event's own time). `data_s`
ends when the first change of the control's data source is announced in the page, be it
replaced or written in place. `paint_s` ends in the second animation frame after the last
repaint of the control's plots: their canvases have changed by then, and the first of the two
frames, which presents them, is through with style, layout and drawing. So the floor of
`paint_s` is two frames, 33 ms at 60 Hz. The overview of all heads waits for a pause by design
and is not counted. The next press comes when the page has been quiet for `QUIET_S`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.browser import MeasurementError
from bench.results import ControlName, Interaction

SCRIPT = Path(__file__).with_name("ui.js")
# Longer than the overview's wait and its drawing, which must not fall into the next press.
QUIET_S = 0.5
PRESS_LIMIT_S = 20.0  # a press that has shown nothing by then is lost
MOST_LOST = 3
PLOTS = ("scores", "weights", "output", "row", "swatches", "grid")


@dataclass(frozen=True)
class Control:
    """A widget, the data source it must change and the plots that show it."""

    name: ControlName
    css_class: str
    source: str
    plots: tuple[str, ...]
    focused: str = ".noUi-handle"  # the part of it that takes keys


CONTROLS = (
    Control("token", "attn-control-query_index", "attn:row", ("row", "swatches")),
    Control(
        "temperature",
        "attn-control-temperature",
        "attn:weights",
        ("weights", "output", "row", "swatches"),
    ),
    Control(
        "head",
        "attn-control-head",
        "attn:weights",
        ("scores", "weights", "output", "row", "swatches"),
    ),
)
# The mean of all heads of the layer, switched by the space bar.
AGGREGATE = Control(
    "aggregate",
    "attn-control-aggregate",
    "attn:weights",
    ("scores", "weights", "output", "row", "swatches"),
    focused="input",
)


def watching_script(*, frames: bool = False) -> str:
    """Return what a page must run before anything of its own, so that it can be measured.

    With `frames`, samples tell the longest time without an animation frame, too; a page that is
    asked for a frame all the time does more than it would.
    """
    options = {
        "sources": [f"attn:{plot}" for plot in PLOTS],
        "plots": PLOTS,
        "quietMs": QUIET_S * 1000,
        "frames": frames,
    }
    return f"{SCRIPT.read_text('utf-8')}\ninstallAttnBench({json.dumps(options)})"


def interaction(page: Any, control: Control, length: int, presses: int) -> Interaction:
    """Press the slider's arrow keys: once to warm up, then timed, then once to compare pixels."""
    taken, lost = samples(page, control, length, presses)
    return interaction_of(control, length, taken, lost)


def samples(
    page: Any, control: Control, length: int, presses: int
) -> tuple[list[dict[str, Any]], int]:
    """Return the samples of the timed presses and of the one with pixels, and how many were lost.

    Raises
    ------
    MeasurementError
        If the control does not take the focus, or too many presses show nothing.
    """
    focus(page, control)
    taken: list[dict[str, Any]] = []
    lost = 0
    while len(taken) < presses + 2:
        try:
            # Pixels last, since reading a canvas back makes later drawing on it slower.
            taken.append(press(page, control, length, check=len(taken) == presses + 1))
        except MeasurementError as error:
            lost += 1
            print(f"bench: lost: {error}", file=sys.stderr, flush=True)
            if lost > MOST_LOST:
                raise
    return taken[1:], lost


def interaction_of(
    control: Control, length: int, taken: list[dict[str, Any]], lost: int
) -> Interaction:
    """Return samples as a result; the last one is not timed, its pixels were compared."""
    *timed, checked = taken
    return Interaction(
        query_len=length,
        control=control.name,
        source=control.source,
        plots=control.plots,
        data_s=tuple(sample["data_s"] for sample in timed),
        paint_s=tuple(sample["paint_s"] for sample in timed),
        lost=lost,
        pixels_changed=checked["pixels_changed"],
    )


def focus(page: Any, control: Control) -> None:
    """Give the control the keyboard."""
    page.locator(f".{control.css_class} {control.focused}").focus()


def press(page: Any, control: Control, length: int, *, check: bool = False) -> dict[str, Any]:
    """Press the key that moves the focused control on, and return the sample once all is still."""
    wanted = {"source": control.source, "plots": control.plots}
    key = page.evaluate("([wanted, check]) => attnBench.arm(wanted, check)", [wanted, check])
    if key is None:
        raise MeasurementError(f"the {control.name} control at T={length} lost the focus")
    page.keyboard.press(key)
    return settle(page, f"{key} on the {control.name} control at T={length}", PRESS_LIMIT_S)


def settle(page: Any, what: str, limit_s: float) -> dict[str, Any]:
    """Return the sample of the last press, {} where nothing was pressed, once the page is quiet.

    Raises
    ------
    MeasurementError
        If it shows nothing within the limit; the message says what is lacking.
    """
    sample: dict[str, Any] = page.evaluate(f"attnBench.settled({limit_s * 1000})")
    if "lacking" in sample:
        raise MeasurementError(f"{what}: {sample['lacking']} within {limit_s:.0f} s")
    return sample
