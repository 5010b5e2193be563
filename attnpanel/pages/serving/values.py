"""Which properties a page may set, and to what: checked before Bokeh applies a change.

A page reports few changes; whatever is not listed here changes nothing in Python. Of a widget the
limits are those that it was given, which the browser enforces for a reader but not for a forged
message.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bokeh.models import (
    AbstractButton,
    Checkbox,
    LayoutDOM,
    NumericInput,
    Range1d,
    Select,
    Slider,
    TextAreaInput,
    TextInput,
    ToggleButtonGroup,
)
from panel.models.browser import BrowserInfo
from panel.models.location import Location

from attnpanel.ui.components import component_of
from attnpanel.ui.refusals import PageInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document
    from bokeh.model import Model

LARGEST_INTEGER = 2**53
LONGEST_TEXT = 4000
SIZES = ("outer_width", "outer_height", "inner_width", "inner_height")
PLAIN = (str, bool, int, float, type(None))


@dataclass(frozen=True)
class PageProperty:
    """Properties of a kind of Bokeh model that a page may set.

    Attributes
    ----------
    kind : type
    names : tuple of str
    check : callable
        Takes the model, the property's name and the value; raises PageInputError.
    """

    kind: type
    names: tuple[str, ...]
    check: Callable[[Any, str, Any], None]


def _number(model: Any, name: str, value: Any) -> None:
    """Check a number against the limits of its widget: `low` and `high`, or `start` and `end`."""
    whole = getattr(model, "mode", "float") == "int"
    if value is None and not isinstance(model, Slider):
        return  # an emptied field
    finite = type(value) is int or (type(value) is float and math.isfinite(value))
    if not finite or (whole and value != int(value)) or abs(value) > LARGEST_INTEGER:
        raise _error(model, name, "a whole number" if whole else "a number", value)
    low, high = (model.start, model.end) if isinstance(model, Slider) else (model.low, model.high)
    if (low is not None and value < low) or (high is not None and value > high):
        raise _error(model, name, f"from {low} to {high}", value)


def _option(model: Any, name: str, value: Any) -> None:
    """Check that a value is one of a menu's options."""
    options = model.options
    listed = options.values() if isinstance(options, dict) else [options]
    values = {each if isinstance(each, str) else each[0] for group in listed for each in group}
    if not isinstance(value, str) or value not in values:
        raise _error(model, name, "one of its options", value)


def _button(model: Any, name: str, value: Any) -> None:
    """Check that one of a group's buttons is chosen."""
    if type(value) is not int or not 0 <= value < len(model.labels):
        raise _error(model, name, f"from 0 to {len(model.labels) - 1}", value)


def _text(model: Any, name: str, value: Any) -> None:
    """Check a text's length."""
    most = getattr(model, "max_length", None) or LONGEST_TEXT
    if not isinstance(value, str) or len(value) > most:
        got = len(value) if isinstance(value, str) else value
        raise _error(model, name, f"a text of at most {most:,} characters", got)


def _truth(model: Any, name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise _error(model, name, "true or false", value)


def _measure(model: Any, name: str, value: Any) -> None:
    if type(value) not in (int, float) or not abs(value) < LARGEST_INTEGER:
        raise _error(model, name, "a number", value)


def _plain(model: Any, name: str, value: Any) -> None:
    if not isinstance(value, PLAIN) or (isinstance(value, str) and len(value) > LONGEST_TEXT):
        raise _error(model, name, "a short text or a number", value)


# The first row of a model's kind and a property's name decides.
PROPERTIES: tuple[PageProperty, ...] = (
    PageProperty(NumericInput, ("value", "value_throttled"), _number),
    PageProperty(Slider, ("value", "value_throttled"), _number),
    PageProperty(Select, ("value",), _option),
    PageProperty(ToggleButtonGroup, ("active",), _button),
    PageProperty(TextInput, ("value", "value_input"), _text),
    PageProperty(TextAreaInput, ("value", "value_input"), _text),
    PageProperty(Checkbox, ("active",), _truth),
    PageProperty(AbstractButton, ("clicks",), _measure),
    PageProperty(LayoutDOM, SIZES, _measure),
    PageProperty(Range1d, ("start", "end"), _measure),
    PageProperty(BrowserInfo, tuple(BrowserInfo.properties()), _plain),
    PageProperty(Location, tuple(Location.properties()), _plain),
)


def check_events(events: list[dict[str, Any]], document: Document) -> None:
    """Check what a page changes; remove from `events` what no page needs to change.

    Raises
    ------
    PageInputError
        If a value breaks the bounds of what it is a value of.
    """
    kept = []
    for event in events:
        if event["kind"] == "MessageSent":
            kept.append(event)
        elif event["kind"] == "ModelChanged":
            model = document.models.get_by_id(event["model"]["id"])
            if model is not None and _check(model, event["attr"], event["new"]):
                kept.append(event)
    events[:] = kept


def _check(model: Model, name: str, value: Any) -> bool:
    """Check one change; return whether Python takes it at all."""
    component = component_of(model.id)
    if component is not None:
        component.check_property(name, value)
        return True
    for row in PROPERTIES:
        if isinstance(model, row.kind) and name in row.names:
            row.check(model, name, value)
            return True
    return False


def _error(model: Any, name: str, rule: str, value: Any) -> PageInputError:
    """Return the rule and the value, with the name that a reader knows: a widget's title."""
    title = getattr(model, "title", None)
    named = title if isinstance(title, str) and title else f"{type(model).__name__}.{name}"
    return PageInputError(f"{named} must be {rule}; got {value!r:.60}")
