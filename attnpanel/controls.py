"""The controls: one core widget per choice, kept in step with the state both ways."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.models import CustomJSTickFormatter

from attnpanel.masks import MASKS
from attnpanel.theme import stylesheet
from attnpanel.views.drawing import shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.state import ExplorerState

# Panel waits this long before it acts on a change, so that a drag gives few events. Its own 50 ms
# are half of what a reader notices; events that pile up are merged however short the wait is.
DEBOUNCE_MS = 4
EXPONENT_STEP = 0.05
WORDS = "return words[tick] ?? String(tick)"
LABELS: dict[str, str] = {row.kind: row.label for row in MASKS} | {
    "bottom_right": "bottom right",
    "square root": "√",
    "top_left": "top left",
}


@dataclass(frozen=True)
class Control:
    """One choice on the page.

    Attributes
    ----------
    name : str
        The state's parameter.
    build : callable
        Makes the widget from its common keyword arguments.
    words : callable or None
        For a slider: the text beside each position, from the state.
    hidden : bool
        Whether to leave the control out, not only dim it, where it does nothing.
    """

    name: str
    build: Callable[..., Any]
    words: Callable[[ExplorerState], list[str]] | None = None
    hidden: bool = False


def _slider(**options: Any) -> Any:
    return pn.widgets.IntSlider(start=0, end=1, **options)


def _exponent(**options: Any) -> Any:
    shown = CustomJSTickFormatter(code="return (10 ** tick).toFixed(2)")
    return pn.widgets.FloatSlider(start=-1.0, end=1.0, step=EXPONENT_STEP, format=shown, **options)


def _buttons(**options: Any) -> Any:
    return pn.widgets.RadioButtonGroup(**options)


def _numbered(count: int) -> list[str]:
    return [f"{index} of {count}" for index in range(count)]


def _layers(state: ExplorerState) -> list[str]:
    numbers, chosen = state.trace.layer_numbers, state.trace.chosen
    count = chosen.layer_count if chosen else len(numbers)
    return [f"{number} of {count}" for number in numbers]


def _heads(state: ExplorerState) -> list[str]:
    numbers, chosen = state.trace.head_numbers(state.call), state.trace.chosen
    count = chosen.head_count if chosen and chosen.heads else len(numbers)
    return [f"{number} of {count}" for number in numbers]


def _batches(state: ExplorerState) -> list[str]:
    return _numbered(state.call.batch)


def _tokens(state: ExplorerState) -> list[str]:
    return [f"{index} · {shorten(token, 18)}" for index, token in enumerate(state.query_tokens)]


CONTROLS: tuple[Control, ...] = (
    Control("layer", _slider, _layers),
    Control("head", _slider, _heads),
    Control("aggregate", pn.widgets.Checkbox),
    Control("batch", _slider, _batches, hidden=True),
    Control("query_index", _slider, _tokens),
    Control("temperature", _exponent),
    Control("mask", _buttons),
    Control("pad_len", _slider),
    Control("window", _slider, hidden=True),
    Control("align", _buttons, hidden=True),
    Control("empty_rows", _buttons),
    Control("weight_scale", _buttons),
    Control("skip_first", pn.widgets.Checkbox),
    Control("color_seed", pn.widgets.IntInput),
)


class Controls:
    """The widgets of all choices.

    Parameters
    ----------
    state : ExplorerState
        Changed by the widgets; a change of it moves them.
    in_page : bool, optional
        Whether the page itself moves the widgets and reads them: here they follow another trace
        only.
    """

    def __init__(self, state: ExplorerState, *, in_page: bool = False) -> None:
        self.state = state
        self._in_page = in_page
        self.widgets: dict[str, Any] = {}
        self._boxes: dict[str, Any] = {}
        # True while the widgets follow the state, which must not make them write it.
        self._refreshing = False
        for control in CONTROLS:
            self._add(control)
        names = [] if in_page else [control.name for control in CONTROLS]
        self._watcher = state.param.watch(lambda *_: self.refresh(), [*names, "trace"])
        self.refresh()

    def close(self) -> None:
        """Follow the state no longer."""
        self.state.param.unwatch(self._watcher)

    @property
    def column(self) -> list[Any]:
        """The controls in reading order, each with its heading."""
        return list(self._boxes.values())

    @property
    def tips(self) -> dict[str, list[str]]:
        """Return each control's label and tooltip: why it is dimmed, or what it does."""
        reasons = self.state.unavailable()
        return {
            control.name: [
                str(self.state.param[control.name].label),
                reasons.get(control.name, str(self.state.param[control.name].doc)),
            ]
            for control in CONTROLS
        }

    def refresh(self) -> None:
        """Show the state's values, ranges and which controls apply."""
        reasons = self.state.unavailable()
        self._refreshing = True
        try:
            for control in CONTROLS:
                self._refresh(control, reasons)
        finally:
            self._refreshing = False

    def _refresh(self, control: Control, reasons: dict[str, str]) -> None:
        widget = self.widgets[control.name]
        widget.param.update(**self._shown(control), disabled=control.name in reasons)
        if control.hidden:
            self._boxes[control.name].visible = control.name not in reasons
        if control.words is not None:
            words = control.words(self.state)
            if widget.format.args["words"] != words:
                # interaction.js has the slider write its title anew when these change.
                widget.format.args = {"words": words}

    def _add(self, control: Control) -> None:
        parameter = self.state.param[control.name]
        css = [f"attn-control-{control.name}", "attn-control"]
        options: dict[str, Any] = {
            "label": parameter.label,
            "css_classes": css,
            "stylesheets": [stylesheet()],
            "sizing_mode": "stretch_width",
            "margin": 0,
        }
        if control.words is not None:
            options["format"] = CustomJSTickFormatter(args={"words": []}, code=WORDS)
        widget = control.build(**options)
        widget._debounce = DEBOUNCE_MS  # noqa: SLF001 - Panel offers no public setting
        self.widgets[control.name] = widget
        box = widget
        if control.build is _buttons:
            # A button group has no title of its own.
            heading = pn.pane.HTML(
                parameter.label, css_classes=["attn-label"], stylesheets=[stylesheet()], margin=0
            )
            box = pn.Column(heading, widget, margin=0, sizing_mode="stretch_width")
        if control.hidden:
            box = pn.Column(
                box,
                css_classes=[f"attn-hides-{control.name}"],
                margin=0,
                sizing_mode="stretch_width",
            )
        self._boxes[control.name] = box
        widget.param.watch(lambda event: self._take(control, event.new), "value")

    def _take(self, control: Control, value: Any) -> None:
        if self._refreshing or self._in_page:
            return
        if control.name == "temperature":
            value = 10 ** (round(value / EXPONENT_STEP) * EXPONENT_STEP)
        if value is not None:
            # One message for all that follows, and one walk over the document's models.
            with pn.io.hold(freeze=True):
                setattr(self.state, control.name, value)

    def _shown(self, control: Control) -> dict[str, Any]:
        """Return what the widget must show: value, and range or options."""
        parameter, value = self.state.param[control.name], getattr(self.state, control.name)
        if control.name == "temperature":
            exponent = min(max(math.log10(value), -1.0), 1.0)
            # The same step may differ in its last bit; writing it back would be an echo that
            # overtakes the reader's next step.
            shown = self.widgets["temperature"].value
            return {"value": shown if math.isclose(shown, exponent, abs_tol=1e-6) else exponent}
        if control.build is _buttons:
            options = {LABELS.get(one, one): one for one in parameter.objects}
            return {"options": options, "value": value}
        if control.build is _slider:
            low, high = parameter.bounds
            # A slider needs room even where there is one choice; it is disabled then.
            return {"start": low, "end": max(high, low + 1), "value": value}
        if control.name == "color_seed":
            return {"start": parameter.bounds[0], "end": parameter.bounds[1], "value": value}
        return {"value": value}
