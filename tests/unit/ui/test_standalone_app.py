"""What a standalone file cannot hold is refused, and the rest has no attention in it."""

from __future__ import annotations

from typing import ClassVar

import panel as pn
import pytest
from bokeh.core.has_props import _default_resolver
from bokeh.core.properties import String
from bokeh.models import Slider
from panel.custom import JSComponent, ReactComponent

from attnpanel.ui.standalone_app import save_standalone
from docs.examples.offline_app import app


class Scripted(Slider):
    """A model that brings a script of its own, as Panel's of Plotly does."""

    __javascript__ = ("https://example.org/a.js",)
    word = String("")


class Foreign(Slider):
    """A model that neither Bokeh nor Panel defines."""


# Bokeh asks the modules of all registered models for their file, which a namespace package lacks.
for model in (Scripted, Foreign):
    _default_resolver.remove(model)


class Reacts(ReactComponent):
    _esm = "export function render() { return <p>Hi</p> }"


class Imports(JSComponent):
    _importmap: ClassVar = {"imports": {"confetti": "https://esm.sh/canvas-confetti@1.6.0"}}
    _esm = "import confetti from 'confetti'; export function render() { confetti() }"


def test_an_app_without_attention_has_none_in_its_file(tmp_path):
    path = save_standalone(
        app(), tmp_path / "a.html", title="A <pendulum>", css="body {margin: 7px}"
    )
    text = path.read_text(encoding="utf-8")

    assert "<title>A &lt;pendulum&gt;</title>" in text
    assert "body {margin: 7px}" in text
    assert "softmax" not in text
    assert path.stat().st_size < 1_300_000


@pytest.mark.parametrize(
    ("view", "reason"),
    [
        (lambda: pn.pane.Bokeh(Scripted(start=0, end=1, value=0)), "Scripted needs other scripts"),
        (lambda: pn.pane.Bokeh(Foreign(start=0, end=1, value=0)), r"Panel only; got .*Foreign"),
        (Reacts, r"build it by `panel compile`; Reacts\w* imports .*react"),
        (Imports, r"build it by `panel compile`; Imports\w* imports confetti"),
    ],
    ids=["scripts", "another package", "React", "imports"],
)
def test_what_a_file_cannot_hold_is_refused(tmp_path, view, reason):
    with pytest.raises(ValueError, match=reason):
        save_standalone(view(), tmp_path / "a.html")

    assert not (tmp_path / "a.html").exists()
