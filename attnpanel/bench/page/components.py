"""Python side of the page's JavaScript components."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import param

from attnpanel.ui.components import Styled, bundle
from attnpanel.ui.page_input import Text
from attnpanel.ui.theme import DARK, LIGHT, ramp, stylesheet

if TYPE_CHECKING:
    from attnpanel.ui.theme import Theme

HERE = Path(__file__).parent
BUNDLES = HERE.parent / "bundles"
MAX_NAME = 60
# Fill of a failed certificate and of a cell beyond 8 units. It differs from every blue in lightness
# too; where there is room, a mark repeats the verdict.
BEYOND = {"light": "#b83b0a", "dark": "#ff8a4c"}


def styles() -> list[str]:
    """Return the stylesheets shared by all boxes of the page."""
    return [stylesheet(), (HERE / "bench.css").read_text(encoding="utf-8")]


class _Part(Styled):
    """A component with the page's stylesheets."""

    __abstract = True

    def __init__(self, **params: Any) -> None:
        params.setdefault("stylesheets", styles())
        super().__init__(**params)


class PageTheme(_Part):
    """The light or dark theme; recolours the plots in the browser, without a server."""

    explorer_id = param.String(
        default="", doc="Names this page's events and its outermost element."
    )
    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    page_sets = ("dark",)
    colours = param.Dict(default={}, doc="Palettes and colours of each theme.")

    _esm = bundle("theme", BUNDLES)


class Certificate(_Part):
    """Text of one certificate; tap or arrow keys select a cell of the matrix."""

    rows = param.List(default=[], doc="Names of the implementations, bounded.")
    columns = param.List(default=[], doc="Names of the cases, bounded.")
    cells = param.List(default=[], doc="{row, column, lines: [[verdict, text], …]}, bounded.")
    at = param.List(
        default=[0, 0], item_type=int, bounds=(2, 2), doc="[row, column] of the selected cell."
    )
    page_sets = ("at",)

    _esm = bundle("certificate", BUNDLES)


class FamilyChoice(_Part):
    """Selects the family of calls that the charts show."""

    families = param.List(
        default=[], doc="{name, charts, caption} of each, the selected one first."
    )

    _esm = bundle("family_choice", BUNDLES)


class ErrorChoices(_Part):
    """Choices of the error map; draws it and reports the largest difference."""

    choices = param.Dict(default={}, doc="Options of each of the five choices, as text.")
    first = Text("", max_length=MAX_NAME, doc="Name of an implementation.")
    second = Text("", max_length=MAX_NAME, doc="Name of an implementation, or of the reference.")
    dtype = Text("float32", max_length=MAX_NAME, doc="dtype of the inputs.")
    mask = Text("none", max_length=MAX_NAME, doc="Name of the mask.")
    temperature = Text("1", max_length=MAX_NAME, doc="Divides the scores; dimensionless, as text.")
    size = param.Integer(default=32, bounds=(1, None), doc="T, S and Dv.")
    answer = param.Dict(
        default={}, doc="{asked, output, weights, visible} in rows, or {asked, problem}."
    )
    recorded = param.Dict(default={}, doc="{settings}: all answers, for a page without a server.")
    page_sets = ("first", "second", "dtype", "mask", "temperature")

    _esm = bundle("error_choices", BUNDLES)


class RunProgress(_Part):
    """Progress bar of a run."""

    done = param.Integer(default=0, bounds=(0, None), doc="Steps done.")
    total = param.Integer(default=0, bounds=(0, None), doc="Number of steps; 0 hides the bar.")
    text = param.String(default="", doc="The current step and the remaining time.")

    _esm = bundle("progress", BUNDLES)


def theme_colours() -> dict[str, dict[str, Any]]:
    """Return the colours of both themes for :class:`PageTheme`."""
    return {name: _colours(theme, name) for name, theme in (("light", LIGHT), ("dark", DARK))}


def _colours(theme: Theme, name: str) -> dict[str, Any]:
    return {
        "palette": list(error_palette(theme)),
        "beyond": BEYOND[name],
        "masked": theme.masked,
        "hatch": theme.hatch,
        "accent": theme.accent,
    }


def scale_variables() -> str:
    """Return the colour scales of both themes as CSS variables of the outermost element."""
    rules = []
    for host, name, theme in ((":host", "light", LIGHT), (":host(.attn-dark)", "dark", DARK)):
        steps = ", ".join(error_palette(theme)[::15])
        rules.append(
            f"{host} {{ --bench-scale: linear-gradient(to right, {steps}); "
            f"--bench-beyond: {BEYOND[name]}; }}"
        )
    return "\n".join(rules)


def error_palette(theme: Theme) -> tuple[str, ...]:
    """Return the colours of 0 to 8 units; a square-root scale shows small differences."""
    return ramp(theme.sequential, power=0.5)
