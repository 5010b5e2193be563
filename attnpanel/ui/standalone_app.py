"""Any Panel layout of JavaScript components and linked widgets as one offline HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.document import Document
from panel.io.state import set_curdoc
from panel.models.esm import ReactiveESM

from attnpanel.trace.atomic_write import atomic_write_text
from attnpanel.ui.standalone_html import standalone_html

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    from bokeh.model import Model

# What the file contains of Bokeh and Panel; models of others have scripts of their own.
LIBRARIES = ("bokeh.", "panel.")


def save_standalone(
    view: Any, path: str | os.PathLike[str], *, title: str = "Panel", css: str = ""
) -> Path:
    """Write a Panel layout as one file that opens without a server or a network.

    What runs in the page stays live: `pn.custom.JSComponent` and `ReactComponent` (compiled by
    ``panel compile``), `jslink`, `jscallback`, Bokeh's tools and CustomJS. What would call Python
    does nothing there. The file has a Content-Security-Policy under which it can make no request.

    Parameters
    ----------
    view : Panel object
        Or anything that ``pn.panel`` takes.
    path : path
        The file to write; its folder must exist. Written atomically.
    title : str, optional
        The page's title.
    css : str, optional
        Style of the page around the layout.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    ValueError
        If a model needs scripts that the file does not contain: those of another package, such as
        Plotly or Vega, or modules that a component imports from a network.

    Examples
    --------
    >>> import panel as pn
    >>> from tempfile import TemporaryDirectory
    >>> slider = pn.widgets.FloatSlider(label="Angle")
    >>> words = pn.widgets.StaticText()
    >>> _ = slider.jslink(words, value="value")
    >>> with TemporaryDirectory() as folder:
    ...     path = save_standalone(pn.Column(slider, words), f"{folder}/angle.html")
    ...     path.stat().st_size < 2e6
    True
    """
    document = Document()
    with set_curdoc(document):
        pieces = standalone_html(document, pn.panel(view), title, css=css)
        check_self_contained(document.models)
    atomic_write_text(path, pieces)
    return Path(path)


def check_self_contained(models: Iterable[Model]) -> None:
    """Check that Bokeh's and Panel's own scripts are all that these models need.

    Raises
    ------
    ValueError
        If one needs others.
    """
    for model in models:
        kind = type(model)
        name = f"{kind.__module__}.{kind.__qualname__}"
        # The file does without what Panel has components loaded by.
        if not isinstance(model, ReactiveESM) and _scripts(kind):
            raise ValueError(f"a file contains Bokeh and Panel only; {name} needs other scripts")
        if not name.startswith(LIBRARIES):
            raise ValueError(f"a file contains models of Bokeh and Panel only; got {name}")
        if isinstance(model, ReactiveESM) and not model.bundle and _imported(model):
            raise ValueError(
                "a component must import nothing from a network: build it by `panel compile`; "
                f"{model.class_name or name} imports {', '.join(_imported(model))}"
            )


def _scripts(kind: type[Model]) -> list[str]:
    names = ("__javascript__", "__javascript_modules__")
    return [script for name in names for script in getattr(kind, name, None) or ()]


def _imported(component: ReactiveESM) -> list[str]:
    imports = component.importmap.get("imports", {})
    return sorted(name for name, place in imports.items() if "://" in place)
