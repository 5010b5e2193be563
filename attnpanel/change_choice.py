"""A row of widgets for one change of a model's attention: which kind, where, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.trace import Trace

EVERY_LAYER, EVERY_HEAD = "every layer", "every head"
# Far above any model; a link may ask for no more.
MOST_NUMBERED = 10_000


@dataclass(frozen=True)
class Amount:
    """A number that a change needs: its label, what it starts at, and its bounds."""

    label: str
    start: float
    low: float
    high: float
    whole: bool = True


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


_TOKEN = (0, 0, MOST_NUMBERED)
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
        (Amount("key", *_TOKEN),),
    ),
    Kind(
        "edge",
        "without one edge",
        "without the edge {} → {}",
        lambda query, key: {"hide_edges": [(query, key)]},
        (Amount("query", *_TOKEN), Amount("key", *_TOKEN)),
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
_OF_LABEL = {kind.label: kind for kind in KINDS}
_OF_NAME = {kind.name: kind for kind in KINDS}


class ChangeChoice:
    """Which heads compute what, in place of their own attention.

    What does not apply to the chosen kind is not there. Layers and heads are those of the trace
    last shown.
    """

    def __init__(self) -> None:
        self._kind = _select([kind.label for kind in KINDS], "Attention", "attn-change-kind")
        self._layer = _select([EVERY_LAYER], "", "attn-change-layer")
        self._head = _select([EVERY_HEAD], "", "attn-change-head")
        self._amounts = [_number() for _ in range(2)]
        self._whole = [_number(whole=True) for _ in range(2)]
        self._kind.param.watch(lambda _event: self._follow(), "value")
        self.row = pn.Row(
            self._kind,
            self._layer,
            self._head,
            *self._amounts,
            *self._whole,
            css_classes=["attn-source", "attn-change"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        self._follow()

    @property
    def kind(self) -> Kind:
        """The kind that is chosen."""
        return _OF_LABEL[self._kind.value]

    def asked(self) -> dict[str, Any] | None:
        """Return the arguments of :func:`attnpanel.intervene`; None where nothing changes.

        Raises
        ------
        ValueError
            If a number is missing.
        """
        if self.kind.name == "none":
            return None
        return {"layer": self.layer, "head": self.head, **self.kind.asked(*self._numbers())}

    @property
    def layer(self) -> Any:
        """The number of the layer that is meant, or "*"."""
        return "*" if self._layer.value == EVERY_LAYER else _number_in(self._layer.value)

    @property
    def head(self) -> int | None:
        """The number of the head that is meant; None: all."""
        return None if self._head.value == EVERY_HEAD else _number_in(self._head.value)

    def words(self) -> str:
        """Say what is chosen: “layer 3, head 1 at temperature 0.5”."""
        said = self.kind.words.format(*(f"{number:g}" for number in self._numbers()))
        return f"{self._layer.value}, {self._head.value} {said}"

    def fit(self, trace: Trace) -> None:
        """Offer the layers and heads of a trace, and keep what is chosen where it exists."""
        heads = max((call.heads for call in trace.calls), default=0)
        for widget, every, name, count in (
            (self._layer, EVERY_LAYER, "layer", len(trace.calls)),
            (self._head, EVERY_HEAD, "head", heads),
        ):
            options = [every, *(f"{name} {number}" for number in range(count))]
            chosen = widget.value if widget.value in options else every
            widget.param.update(options=options, value=chosen)

    def address(self) -> dict[str, str]:
        """Return what a link needs to make the same change; nothing where there is none."""
        if self.kind.name == "none":
            return {}
        layer = "all" if self.layer == "*" else str(self.layer)
        head = "all" if self.head is None else str(self.head)
        numbers = [f"{number:g}" for number in self._numbers()]
        return {"change": ",".join([self.kind.name, layer, head, *numbers])}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set the change a link carries; return a sentence where it is unusable."""
        if "change" not in texts:
            return []
        name, *places = texts["change"][:100].split(",")
        kind = _OF_NAME.get(name)
        if kind is None or len(places) != 2 + len(kind.amounts):
            return ["The change of attention in the link is none that this page knows."]
        try:
            numbers = [_checked(*pair) for pair in zip(kind.amounts, places[2:], strict=True)]
            for widget, every, label, text in (
                (self._layer, EVERY_LAYER, "layer", places[0]),
                (self._head, EVERY_HEAD, "head", places[1]),
            ):
                place = _checked(Amount(label, *_TOKEN), text) if text != "all" else None
                chosen = every if place is None else f"{label} {place}"
                if chosen not in widget.options:  # what the model has is known when it has run
                    widget.options = [*widget.options, chosen]
                widget.value = chosen
        except ValueError as error:
            return [f"{error}."]
        self._kind.value = kind.label
        for widget, number in zip(self._shown(), numbers, strict=True):
            widget.value = number
        return []

    def _shown(self) -> list[Any]:
        whole = bool(self.kind.amounts) and self.kind.amounts[0].whole
        return (self._whole if whole else self._amounts)[: len(self.kind.amounts)]

    def _numbers(self) -> list[Any]:
        numbers = [widget.value for widget in self._shown()]
        for amount, number in zip(self.kind.amounts, numbers, strict=True):
            if number is None:
                raise ValueError(f"{amount.label} must be a number")
        return numbers

    def _follow(self) -> None:
        """Show what the chosen kind needs."""
        changes = self.kind.name != "none"
        self._layer.visible = self._head.visible = changes
        shown = self._shown()
        for widget in (*self._amounts, *self._whole):
            widget.visible = widget in shown
        for amount, widget in zip(self.kind.amounts, shown, strict=True):
            widget.param.update(
                label=amount.label, start=amount.low, end=amount.high, value=amount.start
            )


def _number_in(label: str) -> int:
    return int(label.rpartition(" ")[2])


def _checked(amount: Amount, text: str) -> float:
    try:
        number = int(text) if amount.whole else float(text)
    except ValueError:
        number = float("nan")
    if not amount.low <= number <= amount.high:
        rule = f"{amount.low:g} to {amount.high:g}"
        raise ValueError(f"{amount.label} must be from {rule}; the link has “{text[:40]}”")
    return number


def _select(options: list[str], label: str, css: str) -> Any:
    return pn.widgets.Select(
        options=options,
        label=label,
        margin=0,
        stylesheets=[stylesheet()],
        css_classes=["attn-inline", css],
    )


def _number(*, whole: bool = False) -> Any:
    widget = pn.widgets.IntInput if whole else pn.widgets.FloatInput
    return widget(
        value=0,
        step=1 if whole else 0.1,
        width=130,
        margin=0,
        stylesheets=[stylesheet()],
        css_classes=["attn-number"],
    )
