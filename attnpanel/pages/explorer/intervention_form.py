"""A form for one intervention on a model's attention: kind, layer, head and amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.models.intervention_spec import (
    INTERVENTION_KINDS,
    InterventionSpec,
    Parameter,
    parse_intervention,
)
from attnpanel.ui import Caption
from attnpanel.ui.fields import field
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnpanel.trace import Trace

EVERY_LAYER, EVERY_HEAD = "every layer", "every head"
MAX_TOKEN_CHARACTERS = 24  # in a menu
_BY_LABEL = {kind.label: kind for kind in INTERVENTION_KINDS}


class InterventionForm:
    """Choose an intervention: its kind, layer, head and amounts.

    Only widgets that apply to the chosen kind are visible. Layers, heads and tokens are those of
    the last trace; a choice that differs from the last run is marked as not run yet.

    Parameters
    ----------
    label : str, optional
        Label of the menu of kinds.
    run : str, optional
        Label of the button that runs the model.
    option : widget, optional
        Another choice of a run, beside these.
    """

    def __init__(self, label: str = "Attention", run: str = "Run", option: Any = None) -> None:
        kinds = {t(kind.label): kind.label for kind in INTERVENTION_KINDS}
        self._kind = _select(kinds, t(label), "attn-change-kind")
        self._layer = _select(_in_words([EVERY_LAYER]), t("Layer"), "attn-change-layer", seen=False)
        self._head = _select(_in_words([EVERY_HEAD]), t("Head"), "attn-change-head", seen=False)
        self._decimal = _number()
        self._whole = _number(whole=True)
        self._tokens = [_select(["0"], t("Token"), "attn-change-token") for _ in range(2)]
        self._not_run = Caption(
            text=t("Not run yet: press {button}.", button=t(run)),
            tone="muted",
            visible=False,
            margin=0,
            css_classes=["attn-change-due"],
        )
        options = () if option is None else (option,)
        self._option = option
        self._last_run, self._last_option = InterventionSpec(), self._option_value
        self.row = pn.Row(
            self._kind,
            self._layer,
            self._head,
            self._decimal,
            self._whole,
            *self._tokens,
            *options,
            self._not_run,
            css_classes=["attn-source", "attn-change"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        self._kind.param.watch(lambda _event: self._update_widgets(), "value")
        amounts = (self._decimal, self._whole, *self._tokens)
        for widget in (self._kind, self._layer, self._head, *amounts, *options):
            widget.param.watch(lambda _event: self._update_not_run(), "value")
        self._update_widgets()

    def chosen(self) -> InterventionSpec:
        """Return the chosen intervention.

        Raises
        ------
        ValueError
            If an amount is missing.
        """
        kind = _BY_LABEL[self._kind.value]
        layer, head = (
            None if widget.value == every else _number_in(widget.value)
            for widget, every in ((self._layer, EVERY_LAYER), (self._head, EVERY_HEAD))
        )
        numbers = []
        for amount, widget in zip(kind.parameters, self._amount_widgets(), strict=True):
            if widget.value is None:
                raise ValueError(t("{name} must be a number", name=t(amount.label)))
            numbers.append(_position_in(widget.value) if amount.is_token else widget.value)
        return (
            InterventionSpec(kind, layer, head, tuple(numbers))
            if kind.name != "none"
            else InterventionSpec()
        )

    def choose(self, change: InterventionSpec) -> None:
        """Set the widgets to an intervention; the model's layers and heads may not be known yet."""
        self._kind.value = change.kind.label
        for widget, every, name, place in (
            (self._layer, EVERY_LAYER, "layer", change.layer),
            (self._head, EVERY_HEAD, "head", change.head),
        ):
            _select_option(widget, every if place is None else f"{name} {place}")
        pairs = zip(change.kind.parameters, self._amount_widgets(), change.values, strict=True)
        for amount, widget, number in pairs:
            if amount.is_token:
                _select_option(widget, _option_at(int(number), widget.options))
            else:
                widget.value = number

    def fit(self, trace: Trace) -> None:
        """Offer the layers, heads and tokens of a trace; keep a choice that still exists."""
        heads = max((call.heads for call in trace.calls), default=0)
        for widget, every, name, count in (
            (self._layer, EVERY_LAYER, "layer", len(trace.calls)),
            (self._head, EVERY_HEAD, "head", heads),
        ):
            choices = [every, *(f"{name} {number}" for number in range(count))]
            kept = widget.value if widget.value in choices else every
            widget.param.update(options=_in_words(choices), value=kept)
        tokens = trace.tokens_of(trace.calls[0])[0] if trace.calls else ()
        options = [_token_option(*numbered) for numbered in enumerate(tokens)] or ["0"]
        for widget in self._tokens:
            position = min(_position_in(widget.value), len(options) - 1)
            widget.param.update(options=options, value=options[position])

    def settle(self, change: InterventionSpec, *, option: bool | None = None) -> None:
        """Record the choices of the trace on screen; any others are marked as not run yet."""
        self._last_run, self._last_option = change, option
        self._update_not_run()

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set the intervention in a link; return one sentence if it is invalid."""
        try:
            self.choose(parse_intervention(texts.get("change", "")))
        except ValueError as error:
            return [f"{error}."]
        return []

    @property
    def _option_value(self) -> bool | None:
        return None if self._option is None else bool(self._option.value)

    def _amount_widgets(self) -> list[Any]:
        """Return the widgets of the chosen kind's amounts."""
        amounts = _BY_LABEL[self._kind.value].parameters
        return [self._widget_of(amount, index) for index, amount in enumerate(amounts)]

    def _widget_of(self, amount: Parameter, index: int) -> Any:
        if amount.is_token:
            return self._tokens[index]
        return self._whole if amount.integer else self._decimal

    def _update_widgets(self) -> None:
        """Show the widgets that the chosen kind needs, and hide the others."""
        kind = _BY_LABEL[self._kind.value]
        self._layer.visible = self._head.visible = kind.name != "none"
        widgets = self._amount_widgets()
        for widget in (self._decimal, self._whole, *self._tokens):
            widget.visible = widget in widgets
        for amount, widget in zip(kind.parameters, widgets, strict=True):
            widget.label = t(amount.label)
            if not amount.is_token:
                widget.param.update(start=amount.low, end=amount.high, value=amount.default)

    def _update_not_run(self) -> None:
        try:
            chosen = self.chosen(), self._option_value
            self._not_run.visible = chosen != (self._last_run, self._last_option)
        except ValueError:  # a number is being typed
            self._not_run.visible = True


def _in_words(choices: Sequence[str]) -> dict[str, str]:
    """Return choices such as “layer 3” or “every head” by their words in the current language."""
    return {_word(choice): choice for choice in choices}


def _word(choice: str) -> str:
    name, _, number = choice.partition(" ")
    if not number.isdecimal():
        return t(choice)
    layer = name == "layer"
    return t("layer {number}", number=number) if layer else t("head {head}", head=number)


def _select_option(widget: Any, option: str) -> None:
    options = widget.options
    if isinstance(options, dict):
        if option not in options.values():
            widget.options = {**options, **_in_words([option])}
    elif option not in options:
        widget.options = [*options, option]
    widget.value = option


def _option_at(position: int, options: Sequence[str]) -> str:
    """Return the option of a token's position; the number alone if the text is not known yet."""
    return next((option for option in options if _position_in(option) == position), str(position))


def _token_option(position: int, token: str) -> str:
    if len(token) > MAX_TOKEN_CHARACTERS:
        token = f"{token[: MAX_TOKEN_CHARACTERS - 1]}…"
    return f"{position} · {token}"


def _position_in(option: str) -> int:
    return int(option.partition(" ")[0])


def _number_in(label: str) -> int:
    return int(label.rpartition(" ")[2])


def _select(options: list[str] | dict[str, str], label: str, css: str, *, seen: bool = True) -> Any:
    return field(pn.widgets.Select, label, seen=seen, options=options, css=["attn-inline", css])


def _number(*, whole: bool = False) -> Any:
    widget = pn.widgets.IntInput if whole else pn.widgets.FloatInput
    return field(
        widget, t("Amount"), value=0, step=1 if whole else 0.1, width=130, css=["attn-number"]
    )
