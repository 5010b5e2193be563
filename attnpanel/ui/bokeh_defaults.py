"""Patches of Bokeh 3.8 to 3.9: defaults of properties, looked up faster and kept by no model.

An explorer reads some 60,000 properties that nobody has set. For each, Bokeh walks the classes for
overridden defaults, fails to find a theme, asks every nested type whether its default may change,
and copies and validates the default. None of it changes once classes are made. docs/architecture.md
has what this saves.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from bokeh.core.has_props import HasProps
from bokeh.core.property.bases import ParameterizedProperty
from bokeh.core.property.descriptors import PropertyDescriptor
from bokeh.core.property.wrappers import PropertyValueContainer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.model import Model

MAY_CHANGE: Final = "_may_have_unstable_default"
ANSWER: Final = "_attnpanel_may_change"
# Types of defaults that all models of a class may share.
PLAIN: Final = (type(None), bool, int, float, str)


def remember_defaults() -> None:
    """Have Bokeh keep what its classes say of defaults; further calls change nothing."""
    if HasProps.themed_values is _themed_values:
        return
    models: Any = HasProps
    models.themed_values = _themed_values
    overridden = "_overridden_defaults"
    remembered: Any = cache(getattr(models, overridden).__func__)
    setattr(models, overridden, classmethod(remembered))

    kinds: Any = ParameterizedProperty
    ask = getattr(kinds, MAY_CHANGE)

    def may_change(kind: Any) -> bool:
        known = kind.__dict__
        if ANSWER not in known:
            known[ANSWER] = ask(kind)
        return bool(known[ANSWER])

    setattr(kinds, MAY_CHANGE, may_change)

    descriptors: Any = PropertyDescriptor
    look_up, ask_descriptor = descriptors.instance_default, descriptors.has_unstable_default
    known: dict[tuple[type, str], Any] = {}
    unstable: dict[tuple[type, str], bool] = {}

    def has_unstable_default(descriptor: Any, model: Any) -> bool:
        key = (type(model), descriptor.name)
        if key not in unstable:
            unstable[key] = ask_descriptor(descriptor, model)
        return unstable[key]

    def instance_default(descriptor: Any, model: Any) -> Any:
        themed = model.themed_values()
        if themed is not None and descriptor.name in themed:
            return look_up(descriptor, model)
        key = (type(model), descriptor.name)
        if key in known:
            return known[key]
        value = look_up(descriptor, model)
        if type(value) in PLAIN and not has_unstable_default(descriptor, model):
            known[key] = value
        return value

    descriptors.has_unstable_default = has_unstable_default
    descriptors.instance_default = instance_default


def _themed_values(model: Any) -> dict[str, Any] | None:
    """Return a model's themed values, past HasProps.__getattr__, which raises where none are."""
    values: dict[str, Any] | None = model.__dict__.get("__themed_values__")
    return values


def forget_empty_defaults(models: Iterable[Model]) -> None:
    """Drop the empty lists, dicts and sets that nobody has set; a read makes them again.

    A page has 3,400, which take 2.2 MB with what they hold to tell their models of changes, and 14
    of the 37 thousand objects that a collection of garbage walks over.
    """
    for model in models:
        defaults = model._unstable_default_values  # noqa: SLF001 - its only place
        for name, value in list(defaults.items()):
            if isinstance(value, PropertyValueContainer) and not value:
                del defaults[name]
