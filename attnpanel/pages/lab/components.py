"""Python sides of the lab's components written in JavaScript."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from attnpanel.ui.components import Styled, bundle
from attnpanel.ui.page_input import PageMessage, Text
from attnpanel.ui.theme import DARK, LIGHT, ramp, stylesheet

if TYPE_CHECKING:
    from attnpanel.training.records import Checkpoint, Keyframe

HERE = Path(__file__).parent


def styles() -> list[str]:
    """Return the stylesheets that every element of the lab uses."""
    return [stylesheet(), (HERE / "lab.css").read_text(encoding="utf-8")]


def box(*children: Any, css: str, **options: Any) -> Any:
    """Return a full-width column with the lab's stylesheets and these CSS classes."""
    return pn.Column(
        *children,
        css_classes=css.split(),
        stylesheets=styles(),
        sizing_mode="stretch_width",
        margin=0,
        **options,
    )


class _LabComponent(Styled):
    """A component with the lab's stylesheets."""

    __abstract = True

    def __init__(self, **params: Any) -> None:
        params.setdefault("stylesheets", styles())
        super().__init__(**params)


class LabTheme(_LabComponent):
    """Switches the theme in the browser, served or in a file; invisible."""

    explorer_id = param.String(
        default="", doc="Names this page's events and its outermost element."
    )

    _esm = bundle("lab_theme")


class Visitor(_LabComponent):
    """Identifies the browser by a random key in its storage; invisible."""

    key = Text(max_length=32, doc="A random key of 32 hexadecimal digits.")
    page_sets = ("key",)

    _esm = bundle("visitor")

    @property
    def owner(self) -> str:
        """Hash of the key, stored with this browser's runs; the key itself stays secret."""
        return sha256(self.key.encode()).hexdigest()[:32] if len(self.key) == 32 else ""


class LabAddress(_LabComponent):
    """Keeps the page's choices and the reader's notes in its address; invisible."""

    choices = param.Dict(default={}, doc="Query parameters, made by `link_choices`.")

    _esm = bundle("lab_address")


class RunList(_LabComponent):
    """The stored runs; sends ``{"do": action, "run": number, …}`` when a button is pressed."""

    runs = param.List(default=[], doc="One row per run, made by `attnpanel.pages.lab.page`.")

    class Message(PageMessage):
        """A button of a run."""

        do = Text(max_length=20, doc="The action.")
        run = param.Integer(default=0, bounds=(0, 2**53), doc="The run's number.")
        on = param.Boolean(default=False, doc="Whether its curves are drawn.")
        name = param.String(default="", doc="Its new name; untrusted input.")

    _esm = bundle("run_list")


class TickBox(_LabComponent):
    """A checkbox with its label as accessible name, which Panel's lacks."""

    label = param.String(default="", doc="The label beside the checkbox.")
    value = param.Boolean(default=False, doc="Whether it is ticked.")
    page_sets = ("value",)

    _esm = bundle("tick_box")


class TrainingReplay(_LabComponent):
    """The attention of one example at every step, and of what a reader types.

    It asks for a run's frames, and for its weights at a step, by messages.
    """

    about = param.Dict(
        default={},
        doc="{run, tokens, layers, heads, steps, answers: [[query, key], …], live} or {empty}; "
        "live is made by `attnpanel.pages.lab.run_summary.live_info`.",
    )
    linked = param.Dict(
        default=None,
        allow_None=True,
        doc="{run, step, head, sequence, without} as texts: what a link asks for; None for a page "
        "whose address keeps nothing.",
    )
    kept = param.Dict(
        default={}, doc="{run, steps, reason}: where weights are kept, or why nowhere."
    )
    weights = param.List(
        default=[], doc="{step, error, weights (base64)}: all kept, for a page without a server."
    )
    recorded = param.List(
        default=[], doc="{step, answers, cells (base64)}: all frames, for a page without a server."
    )
    palettes = param.Dict(
        default={"light": list(ramp(LIGHT.sequential)), "dark": list(ramp(DARK.sequential))},
        constant=True,
        doc="The colours of weights 0 to 1, by theme.",
    )
    step = param.Integer(
        default=-1, bounds=(-1, 2**53), doc="The step on screen; -1 before the first frame."
    )
    page_sets = ("step",)

    class Message(PageMessage):
        """A request for the frames of a run, or for its weights at a step."""

        frames_request = param.Integer(default=0, bounds=(0, 2**53), doc="The run's number.")
        weights_request = param.Integer(default=0, bounds=(0, 2**53), doc="The run's number.")
        weights_step = param.Integer(default=0, bounds=(0, 2**53), doc="The step.")

    _esm = bundle("training_replay")

    def send_frame(self, run: int, keyframe: Keyframe, *, more: bool) -> None:
        """Send the page another frame of a run; it is drawn at once unless more follow."""
        self._send_msg(
            {
                "run": run,
                "step": keyframe.step,
                "answers": keyframe.answers,
                "cells": keyframe.frame.cells,
                "more": more,
            }
        )

    def send_weights(self, run: int, checkpoint: Checkpoint) -> None:
        """Send the page the weights of a run at a step."""
        self._send_msg({"run": run, **asdict(checkpoint)})

    def refuse_weights(self, run: int, step: int, problem: str) -> None:
        """Tell the page why it can't have the weights of a run at a step."""
        self._send_msg({"run": run, "step": step, "problem": problem})
