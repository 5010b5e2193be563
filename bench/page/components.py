"""The page's components written in JavaScript, and their Python sides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import param

from attnpanel.browser.components import Styled
from attnpanel.theme import DARK, LIGHT, ramp, stylesheet

if TYPE_CHECKING:
    from attnpanel.theme import Theme

HERE = Path(__file__).parent
# More than rounding explains: the fill of a failed certificate and of a cell beyond 8 units. It
# is told from every blue by lightness too, and by a mark where there is room for one.
BEYOND = {"light": "#b83b0a", "dark": "#ff8a4c"}


def styles() -> list[str]:
    """Return the stylesheets that every box of the page wears."""
    return [stylesheet(), (HERE / "bench.css").read_text(encoding="utf-8")]


class _Part(Styled):
    """A component that wears the page's styles."""

    __abstract = True

    def __init__(self, **params: Any) -> None:
        params.setdefault("stylesheets", styles())
        super().__init__(**params)


class PageLook(_Part):
    """Light or dark; recolours the pictures in the page itself, served or in a file."""

    uid = param.String(default="", doc="Names this page's events and its outermost element.")
    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    colours = param.Dict(default={}, doc="The looks' palettes and colours, by look.")

    _esm = HERE / "look.js"


class Certificate(_Part):
    """One certificate in words; moves through the matrix by tap and arrow keys."""

    rows = param.List(default=[], doc="Names of the implementations, bounded.")
    columns = param.List(default=[], doc="Names of the cases, bounded.")
    cells = param.List(default=[], doc="{row, column, lines: [[verdict, text], …]}, bounded.")
    at = param.List(default=[0, 0], doc="[row, column] of the cell that is told.")

    _esm = HERE / "certificate.js"


class FamilyChoice(_Part):
    """Which family of calls the charts show."""

    families = param.List(default=[], doc="{name, charts, caption} of each, the shown one first.")

    _esm = HERE / "family_choice.js"


class ErrorChoices(_Part):
    """What the error map compares; draws it, and says the largest difference."""

    choices = param.Dict(default={}, doc="The options of each of the five choices, as texts.")
    first = param.String(default="", doc="Name of an implementation.")
    second = param.String(default="", doc="Name of an implementation, or of the reference.")
    dtype = param.String(default="float32", doc="Of the inputs.")
    mask = param.String(default="none", doc="By its name.")
    temperature = param.String(default="1", doc="Divides the scores; dimensionless, as a text.")
    size = param.Integer(default=32, bounds=(1, None), doc="T, S and Dv.")
    answer = param.Dict(
        default={}, doc="{asked, output, weights, visible} in rows, or {asked, problem}."
    )
    recorded = param.Dict(default={}, doc="{settings}: every answer of a page without a server.")

    _esm = HERE / "error_choices.js"


class RunProgress(_Part):
    """How far a run is."""

    done = param.Integer(default=0, bounds=(0, None), doc="Steps taken.")
    total = param.Integer(default=0, bounds=(0, None), doc="Steps there are; 0 hides the bar.")
    text = param.String(default="", doc="The step that is taken, and what remains.")

    _esm = HERE / "progress.js"


def look_colours() -> dict[str, dict[str, Any]]:
    """Return what :class:`PageLook` recolours with, light and dark."""
    return {name: _colours(look, name) for name, look in (("light", LIGHT), ("dark", DARK))}


def _colours(look: Theme, name: str) -> dict[str, Any]:
    return {
        "palette": list(error_palette(look)),
        "beyond": BEYOND[name],
        "masked": look.masked,
        "hatch": look.hatch,
        "accent": look.accent,
    }


def scale_variables() -> str:
    """Return the scale's colours of both looks as CSS variables, for the outermost element."""
    rules = []
    for host, name, look in ((":host", "light", LIGHT), (":host(.attn-dark)", "dark", DARK)):
        steps = ", ".join(error_palette(look)[::15])
        rules.append(
            f"{host} {{ --bench-scale: linear-gradient(to right, {steps}); "
            f"--bench-beyond: {BEYOND[name]}; }}"
        )
    return "\n".join(rules)


def error_palette(look: Theme) -> tuple[str, ...]:
    """Return the colours of 0 to 8 units: square roots, so that small differences are seen."""
    return ramp(look.sequential, power=0.5)
