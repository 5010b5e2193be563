"""The controls: one core widget per choice. The page moves them, reads them and says what idles.

They stand in a bar above the pictures, the rare ones in a part of it that opens on demand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import panel as pn
from bokeh.models import CustomJSTickFormatter

from attnpanel.attention.mask_table import MASKS, mask_parameters
from attnpanel.explorer.weight_scales import WEIGHT_SCALES
from attnpanel.ui.fields import name_tag
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.explorer.state import ExplorerState

EXPONENT_STEP = 0.05
WORDS = "return words[tick] ?? String(tick)"
LABELS: dict[str, str] = (
    {row.kind: row.label for row in MASKS}
    | {row.name: row.label for row in WEIGHT_SCALES}
    | {"bottom_right": "bottom right", "model": "as the model", "top_left": "top left"}
)


@dataclass(frozen=True)
class Control:
    """One choice on the page.

    Attributes
    ----------
    name : str
        The state's parameter.
    build : callable
        Makes the widget from its common keyword arguments.
    named : bool
        For a slider: whether its positions have labels, which the page sets.
    hidden : bool
        Whether to leave the control out, not only dim it, where it does nothing.
    place : {"bar", "wide", "more"}
        Whether it is always in the bar, unless the page is narrow, or among the rare ones.
    """

    name: str
    build: Callable[..., Any]
    named: bool = False
    hidden: bool = False
    place: Literal["bar", "wide", "more"] = "more"


def _slider(**options: Any) -> Any:
    return pn.widgets.IntSlider(start=0, end=1, **options)


def _exponent(**options: Any) -> Any:
    shown = CustomJSTickFormatter(code="return (10 ** tick).toFixed(2)")
    return pn.widgets.FloatSlider(start=-1.0, end=1.0, step=EXPONENT_STEP, format=shown, **options)


def _buttons(**options: Any) -> Any:
    return pn.widgets.RadioButtonGroup(tags=[name_tag(options["label"])], **options)


def _select(**options: Any) -> Any:
    return pn.widgets.Select(**options)


def _positions(**options: Any) -> Any:
    return pn.widgets.TextInput(placeholder="4, 9", **options)


CONTROLS: tuple[Control, ...] = (
    Control("layer", _slider, named=True, place="wide"),
    Control("head", _slider, named=True, place="wide"),
    Control("aggregate", pn.widgets.Checkbox, place="wide"),
    Control("query_index", _slider, named=True, place="bar"),
    Control("temperature", _exponent, place="bar"),
    Control("mask", _select, place="wide"),
    Control("weight_scale", _select, place="wide"),
    *(
        Control(name, _positions if row.positions else _slider, hidden=not row.always_shown)
        for name, row in mask_parameters().items()
    ),
    Control("align", _buttons, hidden=True),
    Control("empty_rows", _buttons),
    Control("batch", _slider, named=True, hidden=True),
    Control("skip_first", pn.widgets.Checkbox),
    Control("color_seed", pn.widgets.IntInput),
)


class Controls:
    """The widgets of all choices, initialized from a state.

    Parameters
    ----------
    state : ExplorerState
    """

    def __init__(self, state: ExplorerState) -> None:
        self.state = state
        self.widgets: dict[str, Any] = {}
        # The controls in reading order, each with its heading: those of the bar, and the rare ones.
        self.bar: list[Any] = []
        self.rare: list[Any] = []
        for control in CONTROLS:
            self._add(control)
        self.refresh()

    def refresh(self) -> None:
        """Update values, ranges and options for another trace."""
        for control in CONTROLS:
            self.widgets[control.name].param.update(**self._shown(control))

    def _add(self, control: Control) -> None:
        parameter = self.state.param[control.name]
        options: dict[str, Any] = {
            "label": t(str(parameter.label)),
            "css_classes": [f"attn-control-{control.name}", "attn-control"],
            "stylesheets": [stylesheet()],
            "sizing_mode": "stretch_width",
            "margin": 0,
        }
        if control.named:
            options["format"] = CustomJSTickFormatter(args={"words": []}, code=WORDS)
        widget = control.build(**options)
        self.widgets[control.name] = widget
        box = widget
        if control.build is _buttons:
            # A button group has no title of its own.
            heading = pn.pane.HTML(
                escape(options["label"]),
                css_classes=["attn-label"],
                stylesheets=[stylesheet()],
                margin=0,
            )
            box = pn.Column(heading, widget, margin=0, sizing_mode="stretch_width")
        if control.hidden:
            box = pn.Column(
                box,
                css_classes=[f"attn-hides-{control.name}"],
                visible=False,  # until the page finds that it has an effect
                margin=0,
                sizing_mode="stretch_width",
            )
        box.css_classes = [*box.css_classes, f"attn-at-{control.name}"]
        if control.place == "wide":
            box.css_classes = [*box.css_classes, "attn-wide"]
        (self.rare if control.place == "more" else self.bar).append(box)

    def _shown(self, control: Control) -> dict[str, Any]:
        """Return the initial value and the range or options of a widget."""
        parameter, value = self.state.param[control.name], getattr(self.state, control.name)
        if control.name == "temperature":
            return {"value": min(max(math.log10(value), -1.0), 1.0)}
        if control.build in (_buttons, _select):
            options = {t(LABELS.get(one, one)): one for one in parameter.objects}
            return {"options": options, "value": value}
        if control.build is _positions:
            return {"value": ", ".join(map(str, value))}
        if control.build is _slider:
            low, high = parameter.bounds
            # A slider needs start < end even if there is one choice.
            return {"start": low, "end": max(high, low + 1), "value": value}
        if control.name == "color_seed":
            return {"start": parameter.bounds[0], "end": parameter.bounds[1], "value": value}
        return {"value": value}
