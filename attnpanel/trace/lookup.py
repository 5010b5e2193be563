"""Find calls by position, name or pass."""

from __future__ import annotations

import operator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attnpanel.trace.call import AttentionCall

_SHOWN = 5  # names in an error


def find_call(
    calls: tuple[AttentionCall, ...], which: int | str | tuple[str, int]
) -> AttentionCall:
    """Return one call; see :meth:`attnpanel.Trace.__getitem__`."""
    if isinstance(which, str):
        return _named(calls, which, None)
    if isinstance(which, tuple):
        pair: tuple[Any, ...] = which
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise TypeError(f"a call of several passes is found by (name, pass); got {pair!r}")
        try:
            number = operator.index(pair[1])
        except TypeError:
            raise TypeError(f"a pass must be an integer; got {pair[1]!r}") from None
        return _named(calls, pair[0], number)
    try:
        position = operator.index(which)
    except TypeError:
        raise TypeError(
            "a call is found by position, layer name, (name, pass) or slice; "
            f"got {type(which).__name__}"
        ) from None
    if not -len(calls) <= position < len(calls):
        raise IndexError(f"the trace has {len(calls)} calls; got {position}")
    return calls[position]


def _named(calls: tuple[AttentionCall, ...], name: str, number: int | None) -> AttentionCall:
    rules: tuple[Any, ...] = (
        lambda layer: layer == name,
        lambda layer: layer.startswith(f"{name}."),
        lambda layer: fnmatchcase(layer, name),
    )
    found = next(
        (passing for rule in rules if (passing := [c for c in calls if rule(c.layer)])), []
    )
    names = dict.fromkeys(call.layer for call in found)
    if not found:
        raise KeyError(
            f"no layer {name!r}; the trace has {_listed(dict.fromkeys(c.layer for c in calls))}"
        )
    if len(names) > 1:
        raise KeyError(f"{name!r} is that of {len(names)} layers: {_listed(names)}")
    if number is None:
        if len(found) > 1:
            raise KeyError(
                f"layer {found[0].layer!r} ran {len(found)} times; choose a pass: "
                f"trace[{name!r}, 0] to trace[{name!r}, {len(found) - 1}]"
            )
        number = 0
    if not -len(found) <= number < len(found):
        raise KeyError(f"layer {found[0].layer!r} ran {len(found)} times; got pass {number}")
    return found[number]


def _listed(names: dict[str, None]) -> str:
    listed = list(names)
    more = f", … ({len(listed)} in all)" if len(listed) > _SHOWN else ""
    return ", ".join(map(repr, listed[:_SHOWN])) + more
