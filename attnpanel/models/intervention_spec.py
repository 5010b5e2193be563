"""One intervention as a form, a link and a sentence represent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Returns a text with its placeholders filled, in a language.
    Say = Callable[..., str]

# Larger than any model's numbers; a link may not exceed it.
MAX_INDEX = 10_000


def filled(text: str, /, **values: object) -> str:
    """Return a text with its placeholders filled."""
    return text.format_map(values) if values else text


@dataclass(frozen=True)
class Parameter:
    """A number that an intervention needs: its label, default and bounds.

    `integer` is False for a real number; `is_token` marks the index of one of the text's tokens.
    """

    label: str
    default: float
    low: float
    high: float
    integer: bool = True
    is_token: bool = False


@dataclass(frozen=True)
class InterventionKind:
    """A kind of intervention that a form offers.

    Attributes
    ----------
    name : str
        Its name in links.
    label : str
        Its label in the menu.
    description : str
        What it does, with braces for the parameters' values.
    arguments : function of the parameters' values
        Returns the arguments of :func:`attnpanel.intervene`.
    parameters : tuple of Parameter
    """

    name: str
    label: str
    description: str
    arguments: Callable[..., dict[str, Any]]
    parameters: tuple[Parameter, ...] = ()


def _token(label: str) -> Parameter:
    return Parameter(label, 0, 0, MAX_INDEX, is_token=True)


INTERVENTION_KINDS = (
    InterventionKind("none", "as the model does", "", dict),
    InterventionKind(
        "temperature",
        "at a temperature",
        "at temperature {}",
        lambda tau: {"temperature": tau},
        (Parameter("temperature", 0.5, 0.05, 20, integer=False),),
    ),
    InterventionKind("causal", "causal mask", "under a causal mask", lambda: {"mask": "causal"}),
    InterventionKind(
        "window",
        "window mask",
        "under a window of {}",
        lambda width: {"mask": "window", "window": width},
        (Parameter("width", 3, 1, MAX_INDEX),),
    ),
    InterventionKind(
        "key",
        "without one key",
        "without key {}",
        lambda key: {"hide_keys": key},
        (_token("key"),),
    ),
    InterventionKind(
        "edge",
        "without one edge",
        "without the edge {} → {}",
        lambda query, key: {"hide_edges": [(query, key)]},
        (_token("query"), _token("key")),
    ),
    InterventionKind(
        "uniform", "uniform weights", "with uniform weights", lambda: {"weights": "uniform"}
    ),
    InterventionKind(
        "diagonal", "only itself", "looking only at itself", lambda: {"weights": "diagonal"}
    ),
    InterventionKind(
        "scale",
        "output scaled",
        "with its output times {}",
        lambda factor: {"scale": factor},
        (Parameter("factor", 0.5, -10, 10, integer=False),),
    ),
    InterventionKind("out", "knocked out", "knocked out", lambda: {"scale": 0.0}),
)
_BY_NAME = {kind.name: kind for kind in INTERVENTION_KINDS}


@dataclass(frozen=True)
class InterventionSpec:
    """An intervention: its kind, layer, head and values. By default none; then it is falsy.

    Attributes
    ----------
    kind : InterventionKind
    layer, head : int or None
        None: all.
    values : tuple of float
        One for each of the kind's parameters.

    Examples
    --------
    >>> spec = parse_intervention("edge,3,1,11,2")
    >>> spec.describe(["[CLS]", "the", "trophy", *["…"] * 8, "it"])
    'layer 3, head 1 without the edge 11 “it” → 2 “trophy”'
    >>> spec.arguments()
    {'layer': 3, 'head': 1, 'hide_edges': [(11, 2)]}
    """

    kind: InterventionKind = INTERVENTION_KINDS[0]
    layer: int | None = None
    head: int | None = None
    values: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return self.kind.name != "none"

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :func:`attnpanel.intervene`; empty if nothing changes."""
        if not self:
            return {}
        layer = "*" if self.layer is None else self.layer
        return {"layer": layer, "head": self.head, **self.kind.arguments(*self.values)}

    def describe(self, tokens: Sequence[str] = (), say: Say = filled) -> str:
        """Describe the intervention on these tokens: “layer 3, head 1 at temperature 0.5”.

        `say` returns a text with its placeholders filled, in another language.
        """
        if not self:
            return ""
        values = [
            _describe_token(int(value), tokens) if parameter.is_token else f"{value:g}"
            for parameter, value in zip(self.kind.parameters, self.values, strict=True)
        ]
        every = self.layer is None
        layer = say("every layer") if every else say("layer {number}", number=self.layer)
        head = say("every head") if self.head is None else say("head {head}", head=self.head)
        return f"{layer}, {head} {say(self.kind.description).format(*values)}"

    def to_text(self) -> str:
        """Return the intervention as a link has it; empty if nothing changes."""
        if not self:
            return ""
        indices = ["all" if index is None else str(index) for index in (self.layer, self.head)]
        return ",".join([self.kind.name, *indices, *(f"{value:g}" for value in self.values)])


def parse_intervention(text: str) -> InterventionSpec:
    """Parse what :meth:`InterventionSpec.to_text` wrote, as from a link.

    Raises
    ------
    ValueError
        If the kind is unknown, or a number is missing or out of its bounds.
    """
    if not text:
        return InterventionSpec()
    name, *numbers = text[:100].split(",")
    kind = _BY_NAME.get(name)
    if kind is None or len(numbers) != 2 + len(kind.parameters):
        raise ValueError("The change of attention in the link is none that this page knows")
    values = [_parse(*pair) for pair in zip(kind.parameters, numbers[2:], strict=True)]
    layer, head = (
        None if index == "all" else int(_parse(_token(label), index))
        for label, index in zip(("layer", "head"), numbers, strict=False)
    )
    return InterventionSpec(kind, layer, head, tuple(values))


def _parse(parameter: Parameter, text: str) -> float:
    try:
        value = int(text) if parameter.integer else float(text)
    except ValueError:
        value = float("nan")
    if not parameter.low <= value <= parameter.high:
        bounds = f"{parameter.low:g} to {parameter.high:g}"
        raise ValueError(f"{parameter.label} must be from {bounds}; the link has “{text[:40]}”")
    return value


def _describe_token(index: int, tokens: Sequence[str]) -> str:
    return f"{index} “{tokens[index]}”" if index < len(tokens) else str(index)
