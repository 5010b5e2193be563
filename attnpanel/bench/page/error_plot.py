"""The error map's two heatmaps, output and weights, as HoloViews images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import CustomJSHover, HoverTool

from attnpanel.bench.certify.error_map import SIZE
from attnpanel.bench.certify.error_units import PASSING_UNITS
from attnpanel.bench.page.components import BEYOND, error_palette
from attnpanel.bench.plots.chart import CLIP_FIRST_COLUMN
from attnpanel.explorer.views.drawing import Colours, Drawing, image_columns
from attnpanel.explorer.views.elements import image_element
from attnpanel.ui.fields import name_tag
from attnpanel.ui.figures import load_backend, render
from attnpanel.ui.theme import theme
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME_HEIGHT = 300
# Stands for inf: a cell finite in one result only, or empty rows of different policies.
BEYOND_UNITS = 1e9
HOVER = """
if (Number.isNaN(value)) return masked
return value >= 1e9 ? beyond : units.replace("{count}", value.toFixed(2))
"""
EDGES = (-0.5, SIZE - 0.5)


def error_figure(name: str, title: str, across: str, *, dark: bool) -> Any:
    """Return an empty heatmap; the browser fills its source ``bench:error:<name>``.

    Parameters
    ----------
    name : {"output", "weights"}
    title : str
        Its name in words.
    across : str
        Label of the columns.
    dark : bool
    """
    load_backend()
    figure = render(image_element(_drawing(name, dark=dark)))
    figure.name = f"bench:plot:error:{name}"
    figure.tags = [name_tag(f"{t('Error map')}: {title}, {t('query')} × {across}")]
    figure.frame_height = FRAME_HEIGHT
    figure.styles = CLIP_FIRST_COLUMN
    mapper = figure.renderers[0].glyph.color_mapper
    mapper.update(name="bench:mapper", high_color=BEYOND["dark" if dark else "light"])
    for axis, label in ((figure.xaxis[0], across), (figure.yaxis[0], t("query"))):
        axis.update(
            axis_label=label, axis_label_text_font_size="11px", axis_label_text_font_style="normal"
        )
    figure.xaxis[0].major_label_orientation = 0.0
    figure.toolbar.tools = [
        HoverTool(
            tooltips=[
                (t("query"), "$y{0}"),
                (across, "$x{0}"),
                (t("differ by"), "@image{custom}"),
            ],
            formatters={"@image": CustomJSHover(args=_hover_words(), code=HOVER)},
        )
    ]
    return figure


def _hover_words() -> dict[str, str]:
    return {
        "masked": t("masked"),
        "beyond": t("not comparable in units"),
        "units": t("{count} units"),
    }


def _drawing(name: str, *, dark: bool) -> Drawing:
    colours = theme(dark)
    unknown: NDArray[np.float32] = np.full((SIZE, SIZE), np.nan, dtype=np.float32)
    numbers = [str(place) if place % 8 == 0 else "" for place in range(SIZE)]
    return Drawing(
        {f"bench:error:{name}": image_columns(unknown, EDGES, EDGES)},
        x=EDGES,
        y=EDGES[::-1],
        colours=Colours(0.0, PASSING_UNITS, error_palette(colours)),
        x_labels=numbers,
        y_labels=list(numbers),  # a copy: the two axes are distinguished by identity
        outline=(None, None, -2.0, -2.0),
        theme=colours,
        masked=name == "weights",
    )
