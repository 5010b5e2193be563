"""Bokeh figures: rendered from HoloViews elements, and placed on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn
from bokeh.document import Document

if TYPE_CHECKING:
    from bokeh.model import Model
    from bokeh.plotting import figure


def load_backend() -> None:
    """Load HoloViews' Bokeh backend, which an element needs before it takes options."""
    if "bokeh" not in hv.Store.renderers:
        hv.extension("bokeh", logo=False)


def render(element: Any) -> figure:
    """Render an element as a figure that nothing else refers to.

    HoloViews hands each plot to the document at hand, which keeps it until its session ends. Where
    files are written there is no session, and all plots would stay.
    """
    load_backend()
    plot = hv.renderer("bokeh").get_plot(element)
    plot.document = Document()  # the other one lets go of it
    drawn: figure = plot.state
    return drawn


class FigurePane(pn.pane.Bokeh):
    """A figure no callback of which names a model by its id.

    Panel looks for such callbacks in each figure of each new page, which costs as much as copying
    the figure.
    """

    def __init__(self, plot: figure) -> None:
        super().__init__(plot, sizing_mode="stretch_width", margin=0)

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Any = None,
    ) -> Model:
        plot = self.object
        if root is None or comm or plot.document is not None:
            return super()._get_model(doc, root, parent, comm)
        self._models[root.ref["id"]] = (plot, parent)
        self._design.apply_bokeh_theme_to_model(plot, self.theme)
        return plot
