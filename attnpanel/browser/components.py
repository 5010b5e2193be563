"""The components written in JavaScript, and their Python sides.

They exist where a Panel widget would run a token as markup, or where only the browser knows.
"""

from __future__ import annotations

import re
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import param
from panel.custom import JSComponent

from attnpanel.theme import stylesheet
from attnpanel.to_page import ToPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document
    from bokeh.events import Event

HERE = Path(__file__).parent
# An import of a neighbour, over one line or several.
_LOCAL_IMPORT = re.compile(r'^import (?:\{[^}]*\} from )?"\./[a-z_]+\.js";\n', re.MULTILINE)


# What every page needs that computes attention and writes Bokeh's plots by itself.
PLOT_MODULES = (
    "attention",
    "trace_data",
    "words_of",
    "drawings",
    "bokeh_ways",
    "image_colours",
    "plot_styles",
    "plots",
)


def join_modules(*names: str) -> str:
    """Return the modules as one: only imports between them are left out."""
    lines = (
        line
        for name in names
        for line in (HERE / f"{name}.js").read_text(encoding="utf-8").splitlines(keepends=True)
    )
    return _LOCAL_IMPORT.sub("", "".join(lines))


class Styled(JSComponent):
    """A component that wears the page's stylesheet, and whose module runs as it is written.

    Panel takes a module for TypeScript and has the browser translate it, once for every component
    on the page: a quarter of a second of a report's opening. What has a bundle's name it takes as
    it is, and keeps by that name.

    A component speaks before its page says that it stands; it is answered as soon as it does.
    """

    __abstract = True

    def __init__(self, **params: Any) -> None:
        params.setdefault("stylesheets", [stylesheet()])
        super().__init__(**params)
        self._to_page = ToPage()

    def _process_event(self, event: Event) -> None:
        self._to_page.answer(partial(super()._process_event, event))

    def _get_properties(self, doc: Document | None) -> dict[str, Any]:
        properties: dict[str, Any] = super()._get_properties(doc)
        return properties | {"bundle": sha256(properties["esm"].encode()).hexdigest()}


class _Telling(Styled):
    """A component that tells the explorer's driver what the reader did."""

    __abstract = True

    uid = param.String(default="", doc="Names this explorer's events on the page.")
    driver: param.Selector[Any] = param.Selector(
        default="python", objects=["python", "browser"], doc="Who acts on what the reader does."
    )


class TokenStrip(_Telling):
    """The tokens as text shaded by weight; sends ``{"token": i}`` or ``{"key": j}`` on a tap."""

    names = param.Dict(default={}, doc="As `attnpanel.views.text.shaded_tokens` makes it.")
    content = param.Dict(default={}, doc="As `attnpanel.views.text.shaded_tokens` makes it.")

    _esm = join_modules("tell", "tokens")


class SentenceLine(Styled):
    """One sentence of arithmetic."""

    pieces = param.List(default=[], doc="[kind, text] pairs, in reading order.")

    _esm = HERE / "sentence.js"


class Words(Styled):
    """A title or caption; token text in it is shown, never run."""

    text = param.String(default="", doc="The main words.")
    aside = param.String(default="", doc="Lighter words after them.")
    tone: param.Selector[Any] = param.Selector(
        default="plain", objects=["plain", "muted", "error", "busy"], doc="How it is set."
    )
    heading = param.Boolean(default=False, constant=True, doc="Whether it titles a card.")

    _esm = HERE / "words.js"


class Interaction(_Telling):
    """Keyboard, pointer and address bar; invisible. Sends what the reader did as messages."""

    root_class = param.String(default="", doc="CSS class of the explorer's outermost element.")
    whole_page = param.Boolean(default=False, doc="Whether the page shows this explorer alone.")
    writes_address = param.Boolean(default=False, doc="Whether the address bar holds its state.")
    asks_theme = param.Boolean(default=False, doc="Whether to ask if the reader prefers dark.")
    address = param.String(default="", doc="The query string that restores what is shown.")
    tips = param.Dict(default={}, doc="Control name to [label, tooltip].")
    dark = param.Boolean(default=False, doc="Whether the page is dark.")

    _esm = join_modules("controls_said", "tell", "interaction")


class Upload(Styled):
    """A place to choose or drop a file; sends its chunks, or why it was refused."""

    accept = param.String(default=".safetensors", doc="What the file dialog offers.")
    prompt = param.String(default="Choose or drop a trace file", doc="What the place says.")
    kind = param.String(default="trace", doc="What files are called when one is refused.")
    max_bytes = param.Integer(default=64_000_000, bounds=(1, None), doc="Largest file, in bytes.")

    _esm = HERE / "upload.js"


class CopyLink(Styled):
    """Copies the page's address."""

    _esm = HERE / "copy_link.js"


class Download(Styled):
    """A button that saves a file made when it is pressed.

    Parameters
    ----------
    make : callable
        Returns the file's bytes, or None where it can't be made and the page says why.
    """

    label = param.String(default="Download", doc="What the button says.")
    filename = param.String(default="file", doc="The name the file is offered under.")
    pictures = param.List(default=[], doc="Names of plots that are sent along as they are shown.")

    _esm = join_modules("picture", "save_file", "download")

    def __init__(self, make: Callable[[], bytes | None], **params: Any) -> None:
        self._make = make
        # The plots named in `pictures` as PNGs, as the press that is answered now brought them.
        self.stills: dict[str, bytes] = {}
        super().__init__(**params)

    def _handle_msg(self, data: Any) -> None:
        content = None
        try:
            sent = data.get("pictures") or []
            self.stills = {name: bytes(png) for name, png in sent if name in self.pictures}
            content = self._make()
        finally:  # whatever befalls it, the button is free again
            self._send_msg({"press": data["press"], "content": content})


class ThemeButton(_Telling):
    """Light or dark; sends ``{"theme": "toggle"}``."""

    _esm = join_modules("tell", "theme_button")
