"""One change of a model's attention, as a form, a link and a sentence have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Far above any model; a link may ask for no more.
MOST_NUMBERED = 10_000


@dataclass(frozen=True)
class Amount:
    """A number that a change needs: its label, what it starts at, and its bounds.

    `whole` says that it counts, `token` that it is the place of one of the sentence's tokens.
    """

    label: str
    start: float
    low: float
    high: float
    whole: bool = True
    token: bool = False


@dataclass(frozen=True)
class Kind:
    """One change that is offered.

    Attributes
    ----------
    name : str
        In links.
    label : str
        In the menu.
    words : str
        What is said of a run, with the amounts in braces.
    asked : function of the amounts
        Gives the arguments of :func:`attnpanel.intervene`.
    amounts : tuple of Amount
    """

    name: str
    label: str
    words: str
    asked: Callable[..., dict[str, Any]]
    amounts: tuple[Amount, ...] = ()


def _token(label: str) -> Amount:
    return Amount(label, 0, 0, MOST_NUMBERED, token=True)


KINDS = (
    Kind("none", "as the model does", "", dict),
    Kind(
        "temperature",
        "at a temperature",
        "at temperature {}",
        lambda tau: {"temperature": tau},
        (Amount("temperature", 0.5, 0.05, 20, whole=False),),
    ),
    Kind("causal", "causal mask", "under a causal mask", lambda: {"mask": "causal"}),
    Kind(
        "window",
        "window mask",
        "under a window of {}",
        lambda width: {"mask": "window", "window": width},
        (Amount("width", 3, 1, MOST_NUMBERED),),
    ),
    Kind(
        "key",
        "without one key",
        "without key {}",
        lambda key: {"hide_keys": key},
        (_token("key"),),
    ),
    Kind(
        "edge",
        "without one edge",
        "without the edge {} → {}",
        lambda query, key: {"hide_edges": [(query, key)]},
        (_token("query"), _token("key")),
    ),
    Kind("uniform", "uniform weights", "with uniform weights", lambda: {"weights": "uniform"}),
    Kind("diagonal", "only itself", "looking only at itself", lambda: {"weights": "diagonal"}),
    Kind(
        "scale",
        "output scaled",
        "with its output times {}",
        lambda factor: {"scale": factor},
        (Amount("factor", 0.5, -10, 10, whole=False),),
    ),
    Kind("out", "knocked out", "knocked out", lambda: {"scale": 0.0}),
)
_OF_NAME = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True)
class Change:
    """One change: its kind, where, and how much; by default none.

    Attributes
    ----------
    kind : Kind
    layer, head : int or None
        None: all.
    numbers : tuple of float
        One for each of the kind's amounts.

    Examples
    --------
    >>> change = read_change("edge,3,1,11,2")
    >>> change.words(["[CLS]", "the", "trophy", *["…"] * 8, "it"])
    'layer 3, head 1 without the edge 11 “it” → 2 “trophy”'
    >>> change.asked()
    {'layer': 3, 'head': 1, 'hide_edges': [(11, 2)]}
    """

    kind: Kind = KINDS[0]
    layer: int | None = None
    head: int | None = None
    numbers: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return self.kind.name != "none"

    def asked(self) -> dict[str, Any]:
        """Return the arguments of :func:`attnpanel.intervene`; none where nothing changes."""
        if not self:
            return {}
        layer = "*" if self.layer is None else self.layer
        return {"layer": layer, "head": self.head, **self.kind.asked(*self.numbers)}

    def words(self, tokens: Sequence[str] = ()) -> str:
        """Say what changes, in a sentence of these tokens: “layer 3, head 1 at temperature 0.5”."""
        if not self:
            return ""
        said = [
            _named(int(number), tokens) if amount.token else f"{number:g}"
            for amount, number in zip(self.kind.amounts, self.numbers, strict=True)
        ]
        layer = "every layer" if self.layer is None else f"layer {self.layer}"
        head = "every head" if self.head is None else f"head {self.head}"
        return f"{layer}, {head} {self.kind.words.format(*said)}"

    def text(self) -> str:
        """Return what a link has; nothing where nothing changes."""
        if not self:
            return ""
        places = ["all" if place is None else str(place) for place in (self.layer, self.head)]
        return ",".join([self.kind.name, *places, *(f"{number:g}" for number in self.numbers)])


def read_change(text: str) -> Change:
    """Return the change that a link has.

    Raises
    ------
    ValueError
        If it is none of :data:`KINDS`, or a number is missing or out of its bounds.
    """
    if not text:
        return Change()
    name, *places = text[:100].split(",")
    kind = _OF_NAME.get(name)
    if kind is None or len(places) != 2 + len(kind.amounts):
        raise ValueError("The change of attention in the link is none that this page knows")
    numbers = [_checked(*pair) for pair in zip(kind.amounts, places[2:], strict=True)]
    layer, head = (
        None if place == "all" else int(_checked(_token(label), place))
        for label, place in zip(("layer", "head"), places, strict=False)
    )
    return Change(kind, layer, head, tuple(numbers))


def _checked(amount: Amount, text: str) -> float:
    try:
        number = int(text) if amount.whole else float(text)
    except ValueError:
        number = float("nan")
    if not amount.low <= number <= amount.high:
        rule = f"{amount.low:g} to {amount.high:g}"
        raise ValueError(f"{amount.label} must be from {rule}; the link has “{text[:40]}”")
    return number


def _named(place: int, tokens: Sequence[str]) -> str:
    return f"{place} “{tokens[place]}”" if place < len(tokens) else str(place)
