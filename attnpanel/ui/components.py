"""Python sides of the components written in JavaScript.

They replace Panel widgets that would render a token as HTML, or do what only the browser can.
"""

from __future__ import annotations

from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

import param
from panel.custom import JSComponent
from panel.models.esm import DataEvent

from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.page_input import NamedFiles, PageMessage, Text, check_fields, fields_of
from attnpanel.ui.session_callbacks import SessionScheduler
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import current_language, offered_languages, t, words_for_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document
    from bokeh.events import Event
    from bokeh.model import Model

BUNDLES = Path(__file__).with_name("bundles")


def bundle(name: str, folder: Path = BUNDLES) -> str:
    """Return a bundle's text, as `make js` builds it from the sources in `js/`."""
    return (folder / f"{name}.js").read_text(encoding="utf-8")


# The component behind each Bokeh model and data model of a page.
_COMPONENTS: WeakValueDictionary[str, Styled] = WeakValueDictionary()


@cache
def _properties_of(kind: Any) -> type[PageMessage]:
    return fields_of(kind, kind.page_sets)


def component_of(model_id: str) -> Styled | None:
    """Return the component that a Bokeh model belongs to; None for other models."""
    return _COMPONENTS.get(model_id)


class Styled(JSComponent):
    """A component with the page's stylesheet, whose module runs without transpiling.

    Panel treats a module as TypeScript and has the browser transpile it for every component on the
    page: 0.25 s of a report's opening. A module with a bundle name is run as it is and cached under
    that name.

    Messages that a component sends before its page is connected are handled once it is. What a page
    sends is checked against Param bounds before anything is done with it: a property against its
    own parameter, a message against the fields of `Message`.
    """

    __abstract = True

    # Parameters that the page may set; all others are set in Python alone.
    page_sets: ClassVar[tuple[str, ...]] = ()
    # The fields of messages from the page; None: the page sends none.
    Message: ClassVar[type[PageMessage] | None] = None

    def __init__(self, **params: Any) -> None:
        params.setdefault("stylesheets", [stylesheet()])
        super().__init__(**params)
        self._schedule = SessionScheduler()
        self._language = current_language()

    def check_property(self, name: str, value: Any) -> None:
        """Check a value that the page wants to set.

        Raises
        ------
        PageInputError
            If the page may not set it, or the value breaks the parameter's bounds.
        """
        kind = type(self)
        check_fields(kind.__name__, _properties_of(kind), {name: value})  # type: ignore[arg-type]  # a class can be hashed

    def check_message(self, data: Any) -> None:
        """Check a message from the page.

        Raises
        ------
        PageInputError
            If the component takes none, or a field is unknown or breaks its bounds.
        """
        check_fields(type(self).__name__, self.Message, data)

    def _process_event(self, event: Event) -> None:
        if isinstance(event, DataEvent):
            self.check_message(event.data)
        self._schedule.handle(partial(super()._process_event, event))

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Any = None,
    ) -> Model:
        model = super()._get_model(doc, root, parent, comm)
        _COMPONENTS[model.id] = _COMPONENTS[model.data.id] = self
        return model

    @classmethod
    def _render_esm(cls, *_: Any, **__: Any) -> str:
        """Return the module's text, which Panel would look through for each component."""
        return str(cls._esm)

    def _get_properties(self, doc: Document | None) -> dict[str, Any]:
        properties: dict[str, Any] = super()._get_properties(doc)
        module, name = _module(properties["esm"], self._language)
        return properties | {"esm": module, "bundle": name}


@cache
def _module(text: str, language: str) -> tuple[str, str]:
    """Return a module with the words that it uses, and the name that the browser keeps it by."""
    module = words_for_module(text, language) + text
    return module, sha256(module.encode()).hexdigest()


class MessagingComponent(Styled):
    """A component that sends what the reader did to the explorer."""

    __abstract = True

    explorer_id = param.String(default="", doc="Names this explorer's events on the page.")
    driver: param.Selector[Any] = param.Selector(
        default="python", objects=["python", "browser"], doc="Who acts on what the reader does."
    )


class TokenStrip(MessagingComponent):
    """Tokens as text shaded by weight; sends ``{"token": i}`` or ``{"key": j}`` on a tap."""

    names = param.Dict(default={}, doc="Made by js/views/text.js.")
    content = param.Dict(default={}, doc="Made by js/views/text.js.")

    _esm = bundle("tokens")


class SentenceLine(Styled):
    """One sentence that spells out the arithmetic of a row."""

    pieces = param.List(default=[], doc="[kind, text] pairs, in reading order.")

    _esm = bundle("sentence")


class Legend(Styled):
    """A colour bar with numbers below it; says what masked cells and signs look like."""

    content = param.Dict(default={}, doc="Made by js/views/legend.js.")
    mark = param.Number(default=None, doc="Where the shown pair's number is; None for nowhere.")

    _esm = bundle("legend")


class LineChoices(MessagingComponent):
    """Which heads' lines are drawn, and of which tokens; sends ``{"lines": …}``."""

    content = param.Dict(default={}, doc="Made by js/explorer/captions.js.")

    _esm = bundle("line_choices")


class Caption(Styled):
    """A title or caption; token text in it is shown as text, never as HTML."""

    text = param.String(default="", doc="The main text.")
    subtitle = param.String(default="", doc="Subtitle: secondary text after it.")
    hint = param.String(default="", doc="What one can do there; not on paper.")
    tone: param.Selector[Any] = param.Selector(
        default="plain", objects=["plain", "muted", "error", "busy"], doc="Style of the text."
    )
    heading = param.Boolean(default=False, constant=True, doc="Whether it is a card's heading.")
    live = param.Boolean(
        default=False,
        constant=True,
        doc="Whether each new text is read out; errors and waits always are.",
    )
    about = param.Dict(
        default={}, doc="Not shown: captions of saved figures, of a head, a layer or all heads."
    )

    _esm = bundle("caption")


class Interaction(MessagingComponent):
    """Keyboard and pointer; invisible. Sends what the reader does as messages."""

    root_class = param.String(default="", doc="CSS class of the explorer's outermost element.")
    whole_page = param.Boolean(default=False, doc="Whether the page shows this explorer alone.")
    asks_theme = param.Boolean(default=False, doc="Whether to ask if the reader prefers dark.")
    tips = param.Dict(default={}, doc="Control name to [label, tooltip, dimmed].")
    dark = param.Boolean(default=False, doc="Whether the page is dark.")
    keys = param.List(
        default=[], item_type=str, doc="Rows of js/explorer/keys.js that apply; empty: all."
    )

    _esm = bundle("interaction")


class ActionButton(MessagingComponent):
    """A button that sends one message."""

    label = param.String(default="", doc="Text of the button; a single sign is named by `tooltip`.")
    tooltip = param.String(default="", doc="What it does, in a few words.")
    message = param.Dict(default={}, doc="What it sends.")

    _esm = bundle("action_button")


class WhyToken(MessagingComponent):
    """Why a pair has its weight, on demand: its score by channel, the steps, what is written.

    Sends ``{"why": open}`` when it is opened or closed, and ``{"pair": [i, j]}`` for a key.
    """

    content = param.Dict(default={}, doc="Made by js/explorer/why_token.js when a reader pauses.")
    opened = param.Boolean(default=False, doc="Whether it is open; set by the page.")

    _esm = bundle("why_token")


class OnPicture(MessagingComponent):
    """Weights as heat over the picture whose patches the tokens are.

    Sends ``{"patch": cell}``, ``{"token": i}``, ``{"key": j}`` or
    ``{"tap": ["grid", head, layer]}`` for what is chosen, and ``{"picture": "looks" or "seen"}``
    for which weights to show.
    """

    content = param.Dict(default={}, doc="Made by js/explorer/on_picture.js.")
    heads = param.Dict(default={}, doc="A small picture a head, made there when a reader pauses.")

    _esm = bundle("on_picture")


class LessonCard(MessagingComponent):
    """The open step of the guided lesson; sends ``{"lesson": …}``."""

    content = param.Dict(
        default={}, doc="Made by js/explorer/lesson.js; empty: the lesson is closed."
    )

    _esm = bundle("lesson_card")


class MoreButton(Styled):
    """A button that opens the part of the box around it that is rarely needed.

    A page may open and close it, too.
    """

    label = param.String(default="", doc='Text of the button; "" for “More”.')
    tooltip = param.String(default="", doc="Its name where the label is a sign.")
    opened = param.Boolean(default=False, doc="Whether the part is open.")

    page_sets = ("opened",)

    _esm = bundle("more_button")


class StepTabs(Styled):
    """Tabs over pictures side by side; shown where the page has room for one of them only."""

    names = param.List(default=[], item_type=str, doc="What the pictures are called, in order.")
    first = param.Integer(default=0, doc="Index of the picture that is shown first.")
    moved = param.Number(default=0.0, doc="A choice that the pictures before `first` ignore.")

    _esm = bundle("step_tabs")


class Upload(Styled):
    """A drop zone for a file; sends the file in chunks, or the reason it was refused."""

    accept = param.String(default=".safetensors", doc="File name endings that the dialog offers.")
    prompt = param.String(default="Choose or drop a trace file", doc="Text of the drop zone.")
    kind = param.String(default="trace", doc="Kind of file, as named when one is refused.")
    max_bytes = param.Integer(default=64_000_000, bounds=(1, None), doc="Largest file, in bytes.")

    class Message(PageMessage):
        """One part of a file, or why it was refused in the browser."""

        refused = Text(max_length=1000, doc="Why the file was not sent.")
        name = param.String(default="", doc="The file's name; untrusted input.")
        size = param.Integer(default=0, bounds=(0, 2**40), doc="Bytes of the whole file.")
        offset = param.Integer(default=0, bounds=(0, 2**40), doc="Where the part begins.")
        chunk = param.Bytes(default=b"", doc="The part.")

    _esm = bundle("upload")

    def __init__(self, **params: Any) -> None:
        params.setdefault("prompt", t("Choose or drop a trace file"))
        super().__init__(**params)


class CopyLink(Styled):
    """A button that copies the page's URL."""

    _esm = bundle("copy_link")


class Download(Styled):
    """A button that downloads a file created when it is pressed.

    Parameters
    ----------
    make : callable
        Returns the file's bytes; None if it cannot be made and the page shows why; or a
        :class:`attnpanel.ui.deferred_file.DeferredFile`, which a thread makes.
    on_late : callable, optional
        Called when the snapshots have come, of a button whose press is told before them.
    """

    label = param.String(default="Download", doc="Text of the button.")
    filename = param.String(default="file", doc="Suggested file name.")
    plots = param.List(default=[], doc="Names of the plots whose snapshots are sent along.")
    strong = param.Boolean(default=False, constant=True, doc="Whether it is the page's main act.")

    class Message(PageMessage):
        """A press of the button."""

        required = ("press",)

        press = param.Integer(default=0, bounds=(0, 2**31), doc="Counts the presses.")
        plots = NamedFiles(most=20, doc="[name, PNG] of each plot.")
        late = param.Boolean(default=False, doc="Whether the press itself was told before.")

    _esm = bundle("download")

    def __init__(
        self,
        make: Callable[[], bytes | DeferredFile | None],
        on_late: Callable[[], None] = lambda: None,
        **params: Any,
    ) -> None:
        self._make, self._on_late = make, on_late
        self._work = LatestTask("attnpanel-download")
        # Snapshots (PNG) of the plots named in `plots`, sent with the current press.
        self.snapshots: dict[str, bytes] = {}
        super().__init__(**params)

    def _handle_msg(self, data: Any) -> None:
        press, content = data["press"], None
        try:
            sent = data.get("plots", [])
            self.snapshots = {name: png for name, png in sent if name in self.plots}
            content = self._on_late() if data.get("late") else self._make()
        finally:  # answer even after an error, or the button stays disabled
            if isinstance(content, DeferredFile):
                self._make_later(press, content)
            else:
                self._send_msg({"press": press, "content": content})

    def _make_later(self, press: int, file: DeferredFile) -> None:
        def fail(reason: str) -> None:
            file.failed(reason)
            self._send_msg({"press": press, "content": None})

        self._work.start(
            lambda _on_progress: file.content(),
            on_done=lambda content: self._send_msg({"press": press, "content": content}),
            on_error=fail,
            on_progress=lambda _text: None,
        )


class ThemeButton(MessagingComponent):
    """A button that toggles the theme, and on a served page a choice of its language.

    Sends ``{"theme": "toggle"}``; another language loads the page anew.
    """

    languages = param.Dict(default={}, doc="The name of each language by its code.")
    language = param.String(default="", doc="The code of the page's language.")

    class Message(PageMessage):
        """A press of the button."""

        theme: param.Selector[Any] = param.Selector(default="toggle", objects=["toggle"])

    _esm = bundle("theme_button")

    def __init__(self, **params: Any) -> None:
        offered = {"languages": offered_languages(), "language": current_language()}
        super().__init__(**offered, **params)
