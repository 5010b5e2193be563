"""Bokeh figures: rendered from HoloViews elements, copied, and placed on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import holoviews as hv
import panel as pn
from bokeh.core.serialization import Deserializer, Serializer
from bokeh.document import Document
from bokeh.util.serialization import make_id

from attnpanel.ui.model_copies import Template

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.model import Model
    from bokeh.plotting import figure

# What holds no state, each kind after those it refers to.
STATELESS: Final = (
    "AllIndices",
    "AllLabels",
    "AreaVisuals",
    "BoxInteractionHandles",
    "LinearScale",
    "Node",
    "UnionRenderers",
)


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


def template(figures: Any) -> Template:
    """Return a figure, or a dict of figures, to be copied."""
    _share_equal_parts(figures.values() if isinstance(figures, dict) else [figures])
    # Without what HoloViews attached to them.
    clean = Deserializer().decode(_renamed(Serializer(deferred=False).encode(figures)))
    plots = clean.values() if isinstance(clean, dict) else [clean]
    return Template(clean, {model for plot in plots for model in plot.references()})


def _renamed(serialized: Any) -> Any:
    """Return serialized models with new ids."""
    ids: dict[str, str] = {}

    def renamed(part: Any) -> Any:
        if isinstance(part, dict):
            copy = {name: renamed(value) for name, value in part.items() if name != "id"}
            if "id" in part:
                if part["id"] not in ids:
                    ids[part["id"]] = make_id()
                copy["id"] = ids[part["id"]]
            return copy
        return [renamed(value) for value in part] if isinstance(part, list | tuple) else part

    return renamed(serialized)


def _share_equal_parts(figures: Iterable[figure]) -> None:
    """Have figures share equal parts without a state of their own, a fifth of an explorer's models.

    A scale is one of them: each frame makes its own after it.
    """
    models = {model for plot in figures for model in plot.references()}
    for kind in STATELESS:
        shared: dict[str, Model] = {}
        for model in models:
            for name in model.properties_with_refs():
                part = getattr(model, name)
                if type(part).__name__ == kind:
                    same = repr(part.properties_with_values(include_defaults=False))
                    setattr(model, name, shared.setdefault(same, part))


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
