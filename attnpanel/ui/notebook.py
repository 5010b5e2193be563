"""Load the libraries into a notebook once, and share stylesheets within what is embedded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import panel as pn

from attnpanel.ui.bokeh_defaults import remember_defaults
from attnpanel.ui.libraries import deflated, licence_comments
from attnpanel.ui.shared_styles import share_stylesheets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.model import Model

JAVASCRIPT = "application/javascript"
# A larger script is stored deflated.
MAX_PLAIN_BYTES = 50_000
INFLATE = """(async () => {
  const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0))
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))
  const script = document.createElement("script")
  script.textContent = await new Response(stream).text()
  document.head.append(script)
  script.remove()
})()"""


def load_libraries() -> None:
    """Load Bokeh, Panel and HoloViews; in a notebook also into its page.

    They are published by the first cell that needs them only, and once: Panel and HoloViews would
    each publish them under two MIME types, 12 MB in total. Libraries that the notebook has loaded
    itself are kept, unless they would be fetched from a CDN.
    """
    remember_defaults()
    if share_cell_styles not in pn.viewable.Viewable._preprocessing_hooks:  # noqa: SLF001
        pn.viewable.Viewable._preprocessing_hooks.append(share_cell_styles)  # noqa: SLF001
    shell = _shell()
    if shell is None:
        if not pn.extension._loaded:  # noqa: SLF001 - Panel has no public equivalent
            pn.extension(inline=True)
        return
    published = pn.config.inline and (pn.extension._loaded or hv.extension._loaded)  # noqa: SLF001
    if published and pn.extension._loaded and hv.extension._loaded:  # noqa: SLF001
        return
    from IPython.utils.capture import capture_output

    with capture_output(stdout=False, stderr=False) as captured:
        pn.extension(inline=True)
        if not hv.extension._loaded:  # noqa: SLF001 - nor has HoloViews
            hv.extension("bokeh", inline=True, logo=False)
    if not published:
        _publish(captured.outputs)


def share_cell_styles(_viewable: object, root: Model, *_more: object) -> None:
    """Share equal stylesheets of an explorer or a view in a notebook cell, or in another host."""
    document = pn.state.curdoc
    if document is not None and document.session_context is not None:
        return
    models = root.references()
    if any(map(_is_ours, models)):
        share_stylesheets(models)


def _is_ours(model: Model) -> bool:
    return "attn-root" in getattr(model, "css_classes", ()) or str(model.name).startswith("attn:")


def _shell() -> Any:
    """Return the IPython shell of a notebook's kernel, or None."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


def _publish(outputs: Iterable[Any]) -> None:
    """Publish the captured outputs, each text once and under one MIME type."""
    from IPython.display import publish_display_data

    published = set()
    for output in outputs:
        mime = JAVASCRIPT if JAVASCRIPT in output.data else "text/html"
        text = output.data.get(mime)
        if text in published:
            continue
        published.add(text)
        if mime == JAVASCRIPT:
            publish_display_data({JAVASCRIPT: _packed(text)})  # type: ignore[no-untyped-call]
        else:
            publish_display_data(output.data, output.metadata)  # type: ignore[no-untyped-call]


def _packed(script: str) -> str:
    if len(script) <= MAX_PLAIN_BYTES:
        return script
    return "\n".join([*licence_comments(script), INFLATE % deflated(script)])
