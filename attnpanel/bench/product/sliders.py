"""Move the explorer's controls by real key presses and measure the page's response.

The page is observed by js/bench/ui_probe.js. A slider is moved by arrow keys on its focused handle,
which exercises the whole path of a user's key: the slider, the browser's model, the server or
whatever computes instead, and back. Setting the model's value would skip the first steps and would
not notice a slider that loses its focus. The slider moves from end to end and back, so that every
press changes the plots.

Times start when the browser receives the key (the event's timestamp). `data_s` ends when the page
announces the first change of the control's data source, whether replaced or patched. `paint_s` ends
in the second animation frame after the last repaint of the control's plots: by then the canvases
have changed, and the first frame has finished style, layout and paint. Its minimum is therefore two
frames, 33 ms at 60 Hz. The overview of all heads waits for a pause by design and is excluded. The
next press follows once the page has been quiet for `QUIET_S`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.run.serialization import ControlName, Interaction

SCRIPT = Path(__file__).parents[1] / "bundles" / "ui_probe.js"
# Longer than the delay and the drawing of the overview, which must not overlap the next press.
QUIET_S = 0.5
PRESS_LIMIT_S = 20.0  # a press without a visible effect by then is lost
MAX_LOST = 3
PLOTS = ("scores", "weights", "output", "row", "swatches", "grid")


@dataclass(frozen=True)
class Control:
    """A widget, the data source that it must change and the plots that show it."""

    name: ControlName
    css_class: str
    source: str
    plots: tuple[str, ...]
    focused: str = ".noUi-handle"  # selector of the part that receives keys


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
# Switches between one head and the mean of all heads, by the space bar.
AGGREGATE = Control(
    "aggregate",
    "attn-control-aggregate",
    "attn:weights",
    ("scores", "weights", "output", "row", "swatches"),
    focused="input",
)


def watching_script(*, frames: bool = False) -> str:
    """Return the script that must run before the page's own scripts.

    With `frames`, samples include the longest time without an animation frame. Requesting frames
    continuously makes the page do more work than it would.
    """
    options = {
        "sources": [f"attn:{plot}" for plot in PLOTS],
        "plots": PLOTS,
        "quietMs": QUIET_S * 1000,
        "frames": frames,
    }
    return f"{SCRIPT.read_text('utf-8')}\ninstallAttnBench({json.dumps(options)})"


def interaction(page: Any, control: Control, length: int, presses: int) -> Interaction:
    """Press arrow keys: once to warm up, then timed, then once to compare pixels."""
    taken, lost = samples(page, control, length, presses)
    return interaction_of(control, length, taken, lost)


def samples(
    page: Any, control: Control, length: int, presses: int
) -> tuple[list[dict[str, Any]], int]:
    """Return the samples of the timed presses and the pixel check, and the number of lost ones.

    Raises
    ------
    MeasurementError
        If the control does not take the focus, or too many presses have no effect.
    """
    focus(page, control)
    taken: list[dict[str, Any]] = []
    lost = 0
    while len(taken) < presses + 2:
        try:
            # Pixels last: reading a canvas back makes later drawing on it slower.
            taken.append(press(page, control, length, check=len(taken) == presses + 1))
        except MeasurementError as error:
            lost += 1
            print(f"bench: lost: {error}", file=sys.stderr, flush=True)
            if lost > MAX_LOST:
                raise
    return taken[1:], lost


def interaction_of(
    control: Control, length: int, taken: list[dict[str, Any]], lost: int
) -> Interaction:
    """Return samples as an Interaction; the last one is only the pixel check."""
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
    """Focus the control."""
    page.locator(f".{control.css_class} {control.focused}").focus()


def press(page: Any, control: Control, length: int, *, check: bool = False) -> dict[str, Any]:
    """Press the key that moves the focused control; return the sample once the page is quiet."""
    wanted = {"source": control.source, "plots": control.plots}
    key = page.evaluate("([wanted, check]) => attnBench.arm(wanted, check)", [wanted, check])
    if key is None:
        raise MeasurementError(f"the {control.name} control at T={length} lost the focus")
    page.keyboard.press(key)
    return settle(page, f"{key} on the {control.name} control at T={length}", PRESS_LIMIT_S)


def settle(page: Any, what: str, limit_s: float) -> dict[str, Any]:
    """Wait until the page is quiet; return the sample of the last press, {} without one.

    Raises
    ------
    MeasurementError
        If the expected change does not happen in time; the message says what is missing.
    """
    sample: dict[str, Any] = page.evaluate(f"attnBench.settled({limit_s * 1000})")
    if "lacking" in sample:
        raise MeasurementError(f"{what}: {sample['lacking']} within {limit_s:.0f} s")
    return sample
