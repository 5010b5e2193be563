"""What Bokeh says of defaults is the same where it is remembered, and themes still apply."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from bokeh.document import Document
from bokeh.plotting import figure

from attnpanel.ui.bokeh_defaults import forget_empty_defaults

PROGRAM = """
import json, re, sys
from bokeh.core.has_props import HasProps
from bokeh.models import LinearAxis, Slider
from bokeh.plotting import figure
from bokeh.themes import Theme
from attnpanel.ui.bokeh_defaults import remember_defaults

before = HasProps.themed_values
if sys.argv[1] == "remembered":
    remember_defaults()
    remember_defaults()
assert (HasProps.themed_values is before) == (sys.argv[1] != "remembered")
said = []
for model in (figure(), LinearAxis(), Slider(start=0, end=1, value=0)):
    values = repr(sorted(model.properties_with_values().items(), key=lambda each: each[0]))
    said.append(re.sub(r"id='p[0-9]+'", "", values))  # what is made anew for each model
plot = figure()
assert plot.themed_values() is None
Theme(json={"attrs": {"Plot": {"background_fill_color": "#123456"}}}).apply_to_model(plot)
said.append([plot.background_fill_color, plot.themed_values()])
one, other = figure(), figure()
one.tags.append("mine")
said.append([one.tags, other.tags, figure().tags])
print(json.dumps(said))
"""


def told(how, root):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=root, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


@pytest.mark.thorough
@pytest.mark.slow
def test_defaults_themes_and_lists_are_what_bokeh_says(root):
    remembered, plain = told("remembered", root), told("plain", root)

    assert remembered == plain
    assert "axis_line_width" in remembered[1]
    assert remembered[3][0] == "#123456"
    assert remembered[4] == [["mine"], [], []]


def test_empty_defaults_are_made_again_when_they_are_read():
    document, plot = Document(), figure(tags=["kept"])
    plot.line([0, 1], [1, 0])
    document.add_root(plot)
    toolbar, told = plot.toolbar, []
    sent = document.to_json()
    document.on_change(lambda event: told.append((event.model, event.attr, list(event.new))))

    forget_empty_defaults(document.models)

    assert "styles" not in plot._unstable_default_values
    assert (plot.toolbar, plot.tags, plot.styles) == (toolbar, ["kept"], {})
    assert document.to_json() == sent
    plot.xaxis[0].tags.append("added")
    assert told == [(plot.xaxis[0], "tags", ["added"])]
    assert plot.xaxis[0].tags == ["added"]
    assert document.to_json() != sent
