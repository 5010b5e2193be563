"""A row of widgets for one change of a model's attention: which kind, where, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import Words
from attnpanel.change import KINDS, Amount, Change, read_change
from attnpanel.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnpanel.trace import Trace

EVERY_LAYER, EVERY_HEAD = "every layer", "every head"
MOST_LETTERS = 24  # of a token in a menu
_OF_LABEL = {kind.label: kind for kind in KINDS}


class ChangeChoice:
    """Which heads compute what, in place of their own attention.

    What does not apply to the chosen kind is not there. Layers, heads and tokens are those of the
    trace last shown; a choice that was not run yet is said to be none.

    Parameters
    ----------
    label : str, optional
        Whose attention is changed.
    run : str, optional
        What the button that runs it is called.
    """

    def __init__(self, label: str = "Attention", run: str = "Run") -> None:
        self._kind = _select([kind.label for kind in KINDS], label, "attn-change-kind")
        self._layer = _select([EVERY_LAYER], "", "attn-change-layer")
        self._head = _select([EVERY_HEAD], "", "attn-change-head")
        self._decimal = _number()
        self._whole = _number(whole=True)
        self._places = [_select(["0"], "", "attn-change-token") for _ in range(2)]
        self._due = Words(
            text=f"Not run yet: press {run}.",
            tone="muted",
            visible=False,
            margin=0,
            css_classes=["attn-change-due"],
        )
        self._ran = Change()
        self.row = pn.Row(
            self._kind,
            self._layer,
            self._head,
            self._decimal,
            self._whole,
            *self._places,
            self._due,
            css_classes=["attn-source", "attn-change"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        self._kind.param.watch(lambda _event: self._follow(), "value")
        amounts = (self._decimal, self._whole, *self._places)
        for widget in (self._kind, self._layer, self._head, *amounts):
            widget.param.watch(lambda _event: self._say_due(), "value")
        self._follow()

    def chosen(self) -> Change:
        """Return the change that is chosen.

        Raises
        ------
        ValueError
            If a number is missing.
        """
        kind = _OF_LABEL[self._kind.value]
        layer, head = (
            None if widget.value == every else _number_in(widget.value)
            for widget, every in ((self._layer, EVERY_LAYER), (self._head, EVERY_HEAD))
        )
        numbers = []
        for amount, widget in zip(kind.amounts, self._shown(), strict=True):
            if widget.value is None:
                raise ValueError(f"{amount.label} must be a number")
            numbers.append(_place_in(widget.value) if amount.token else widget.value)
        return Change(kind, layer, head, tuple(numbers)) if kind.name != "none" else Change()

    def choose(self, change: Change) -> None:
        """Set the widgets to a change; what the model has is known when it has run."""
        self._kind.value = change.kind.label
        for widget, every, name, place in (
            (self._layer, EVERY_LAYER, "layer", change.layer),
            (self._head, EVERY_HEAD, "head", change.head),
        ):
            _pick(widget, every if place is None else f"{name} {place}")
        pairs = zip(change.kind.amounts, self._shown(), change.numbers, strict=True)
        for amount, widget, number in pairs:
            if amount.token:
                _pick(widget, _option(int(number), widget.options))
            else:
                widget.value = number

    def fit(self, trace: Trace) -> None:
        """Offer the layers, heads and tokens of a trace; keep what is chosen where it exists."""
        heads = max((call.heads for call in trace.calls), default=0)
        for widget, every, name, count in (
            (self._layer, EVERY_LAYER, "layer", len(trace.calls)),
            (self._head, EVERY_HEAD, "head", heads),
        ):
            _offer(widget, [every, *(f"{name} {number}" for number in range(count))])
        tokens = trace.tokens_of(trace.calls[0])[0] if trace.calls else ()
        options = [_token_option(place, token) for place, token in enumerate(tokens)] or ["0"]
        for widget in self._places:
            place = min(_place_in(widget.value), len(options) - 1)
            widget.param.update(options=options, value=options[place])

    def settle(self, change: Change) -> None:
        """Take a change for the one that is shown: any other is said to be not run yet."""
        self._ran = change
        self._say_due()

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set the change a link carries; return a sentence where it is unusable."""
        try:
            self.choose(read_change(texts.get("change", "")))
        except ValueError as error:
            return [f"{error}."]
        return []

    def _shown(self) -> list[Any]:
        """The widgets of the chosen kind's amounts."""
        amounts = _OF_LABEL[self._kind.value].amounts
        return [self._widget_of(amount, at) for at, amount in enumerate(amounts)]

    def _widget_of(self, amount: Amount, at: int) -> Any:
        if amount.token:
            return self._places[at]
        return self._whole if amount.whole else self._decimal

    def _follow(self) -> None:
        """Show what the chosen kind needs."""
        kind = _OF_LABEL[self._kind.value]
        self._layer.visible = self._head.visible = kind.name != "none"
        shown = self._shown()
        for widget in (self._decimal, self._whole, *self._places):
            widget.visible = widget in shown
        for amount, widget in zip(kind.amounts, shown, strict=True):
            widget.label = amount.label
            if not amount.token:
                widget.param.update(start=amount.low, end=amount.high, value=amount.start)

    def _say_due(self) -> None:
        try:
            self._due.visible = self.chosen() != self._ran
        except ValueError:  # a number is being typed
            self._due.visible = True


def _offer(widget: Any, options: Sequence[str]) -> None:
    chosen = widget.value if widget.value in options else options[0]
    widget.param.update(options=list(options), value=chosen)


def _pick(widget: Any, option: str) -> None:
    if option not in widget.options:
        widget.options = [*widget.options, option]
    widget.value = option


def _option(place: int, options: Sequence[str]) -> str:
    """The option of a token's place, which may be none of a text that was not read yet."""
    return next((option for option in options if _place_in(option) == place), str(place))


def _token_option(place: int, token: str) -> str:
    short = token if len(token) <= MOST_LETTERS else f"{token[: MOST_LETTERS - 1]}…"
    return f"{place} · {short}"


def _place_in(option: str) -> int:
    return int(option.partition(" ")[0])


def _number_in(label: str) -> int:
    return int(label.rpartition(" ")[2])


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
