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
from bokeh.core.property.descriptors import PropertyDescriptor
from bokeh.models import LinearAxis, Slider
from bokeh.plotting import figure
from bokeh.themes import Theme
from attnpanel.ui.bokeh_defaults import remember_defaults

before = HasProps.themed_values
if sys.argv[1] == "remembered":
    remember_defaults()
    remember_defaults()
assert (HasProps.themed_values is before) == (sys.argv[1] != "remembered")
said, written = [], []
def values(model, **options):
    said = repr(list(model.properties_with_values(**options).items()))
    return re.sub(r"id='p[0-9]+'", "", said)  # what is made anew for each model
for _ in range(2):
    for model in (figure(), LinearAxis(), Slider(start=0, end=1, value=0)):
        written.append(values(model, include_defaults=False))
        model.tags.append("mine")
        model.references()
        written.append(values(model, include_defaults=False))
for model in (figure(), LinearAxis(), Slider(start=0, end=1, value=0)):
    said.append(values(model))
plot = figure()
assert plot.themed_values() is None
themed = {"background_fill_color": "#123456", "tags": ["themed"]}
Theme(json={"attrs": {"Plot": themed}}).apply_to_model(plot)
said.append([plot.background_fill_color, plot.themed_values()])
written.append(values(plot, include_defaults=False))
one, other = figure(), figure()
one.tags.append("mine")
said.append([one.tags, other.tags, figure().tags])
said.append(written)
reads, read = [], PropertyDescriptor.get_value
PropertyDescriptor.get_value = lambda self, model: reads.append(1) or read(self, model)
LinearAxis().properties_with_values(include_defaults=False)
said.append(len(reads))
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

    assert remembered[:-1] == plain[:-1]
    assert "#123456" in remembered[5][-1]
    assert "mine" in remembered[5][1]
    assert remembered[6] < plain[6] / 2  # what is left out is not read
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
