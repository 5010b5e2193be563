"""Patches of Bokeh 3.8 to 3.9: defaults of properties, looked up faster and kept by no model.

An explorer reads some 60,000 properties that nobody has set. For each, Bokeh walks the classes for
overridden defaults, fails to find a theme, asks every nested type whether its default may change,
and copies and validates the default. None of it changes once classes are made. To write a model it
reads all of them, and leaves them out. docs/architecture.md has what this saves.
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
# How a model is written for a page.
ONLY_SET: Final = {"include_defaults": False, "include_undefined": False}


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

    models.query_properties_with_values = _reading_what_is_set(models.query_properties_with_values)


def _reading_what_is_set(query_all: Any) -> Any:
    """Return Bokeh's query of a model's properties; to write one it reads those that are set."""
    # What a class leaves out where nobody has set it: defaults that are the same for all models,
    # or empty. Others may be models, which are made, and belong to their model, once they are read.
    left_out: dict[type, set[str]] = {}

    def query_properties(model: Any, query: Any, **options: Any) -> Any:
        if options != ONLY_SET:
            return query_all(model, query, **options)
        themed = model.themed_values() or {}
        own, made = model._property_values, model._unstable_default_values  # noqa: SLF001 - its only place
        skipped = left_out.setdefault(type(model), set())
        values: dict[str, Any] = {}
        for name in model.properties(_with_props=True):
            is_set = name in own or name in made or name in themed
            if not is_set and name in skipped:
                continue
            descriptor = model.lookup(name)
            if not query(descriptor):
                continue
            value = descriptor.get_value(model)
            is_container = isinstance(value, PropertyValueContainer)
            if is_set:
                if name in own or name in themed or not is_container:
                    values[name] = value
            elif (is_container and not value) or not descriptor.has_unstable_default(model):
                skipped.add(name)
        return values

    return query_properties


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
