"""The page's components written in JavaScript, and their Python sides."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from attnpanel.browser.components import Styled, join_modules
from attnpanel.theme import DARK, LIGHT, ramp, stylesheet

if TYPE_CHECKING:
    from attnpanel.training.run import Picture

HERE = Path(__file__).parent


def styles() -> list[str]:
    """Return the stylesheets that every box of the page wears."""
    return [stylesheet(), (HERE / "lab.css").read_text(encoding="utf-8")]


def box(*children: Any, css: str, **options: Any) -> Any:
    """Return a box of the page's looks."""
    return pn.Column(
        *children,
        css_classes=css.split(),
        stylesheets=styles(),
        sizing_mode="stretch_width",
        margin=0,
        **options,
    )


class _Part(Styled):
    """A component that wears the page's styles."""

    __abstract = True

    def __init__(self, **params: Any) -> None:
        params.setdefault("stylesheets", styles())
        super().__init__(**params)


class LabLook(_Part):
    """Light or dark, in the page itself, served or in a file; invisible."""

    uid = param.String(default="", doc="Names this page's events and its outermost element.")

    _esm = join_modules("controls_said") + (HERE / "look.js").read_text(encoding="utf-8")


class Visitor(_Part):
    """Which browser this is, by a word that it keeps; invisible."""

    key = param.String(default="", doc="A random word of 32 hexadecimal digits.")

    _esm = HERE / "visitor.js"

    @property
    def owner(self) -> str:
        """What the runs of this browser are kept with: from it nobody learns the word."""
        return sha256(self.key.encode()).hexdigest()[:32] if len(self.key) == 32 else ""


class RunList(_Part):
    """The kept runs; sends ``{"do": what, "run": number, …}`` when the reader presses something."""

    runs = param.List(default=[], doc="A row each, as `attnpanel.lab.page` makes it.")

    _esm = HERE / "run_list.js"


class TickBox(_Part):
    """A box to tick, with its words as its accessible name: Panel's has none."""

    label = param.String(default="", doc="The words beside the box.")
    value = param.Boolean(default=False, doc="Whether it is ticked.")

    _esm = HERE / "tick_box.js"


class Film(_Part):
    """The attention of one example through training; asks for a run's pictures by a message."""

    about = param.Dict(
        default={},
        doc="{run, tokens, layers, heads, steps, answers: [[query, key], …]} or {empty}.",
    )
    recorded = param.List(
        default=[], doc="{step, answers, cells (base64)}: every picture of a page without a server."
    )
    palettes = param.Dict(
        default={"light": list(ramp(LIGHT.sequential)), "dark": list(ramp(DARK.sequential))},
        constant=True,
        doc="The colours of weights 0 to 1, by look.",
    )
    step = param.Integer(default=-1, doc="The step that is shown; -1 before any is.")

    _esm = HERE / "film.js"

    def hand(self, run: int, picture: Picture, *, more: bool) -> None:
        """Hand the page another picture of a run, drawn at once unless more follow."""
        self._send_msg(
            {
                "film": run,
                "step": picture.step,
                "answers": picture.answers,
                "cells": picture.frame.cells,
                "more": more,
            }
        )
