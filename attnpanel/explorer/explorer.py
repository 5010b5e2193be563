"""Explorer: controls and plots as one Panel component; the page computes and draws."""

from __future__ import annotations

import uuid
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import panel as pn
from panel.viewable import Viewer

from attnpanel.explorer.controls import Controls
from attnpanel.explorer.figures import explorer_figures
from attnpanel.explorer.head_metrics import HeadMapsBridge
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import ExplorerBridge
from attnpanel.explorer.views import VIEWS
from attnpanel.explorer.views.elements import image_element
from attnpanel.explorer.views.live import LiveViews
from attnpanel.ui import (
    ActionButton,
    Annotations,
    Caption,
    Interaction,
    LessonCard,
    LineChoices,
    MoreButton,
    OnPicture,
    SentenceLine,
    StepTabs,
    TokenStrip,
    WhyToken,
    add_marks,
)
from attnpanel.ui.figures import FigurePane
from attnpanel.ui.layout import box, caption, legend
from attnpanel.ui.notebook import load_libraries
from attnpanel.ui.theme import stylesheet, theme_variables
from attnpanel.ui.words import current_language, t

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnpanel.explorer.views import View
    from attnpanel.trace import Trace
    from attnpanel.trace.notes import Note

DrawnBy = Literal["python", "page", "file"]


class Explorer(Viewer):
    """See the attention of a trace: pick layer, head, token, mask and temperature.

    The page computes and draws: in a notebook cell, in a notebook converted to HTML, on a served
    page and in a report. `state` follows the reader's choices, and the page follows `state`.

    Parameters
    ----------
    trace : Trace
        What to show; holds at least one call.
    whole_page : bool, optional
        Whether the explorer is alone on its page: it then handles keys pressed anywhere and keeps
        the URL up to date.
    drawn_by : {"page", "file", "python"}, optional
        ``"file"``: the page is a file without a connection to Python, such as a report, which
        contains its trace. ``"page"``: any other page. ``"python"``: same as "page", for
        compatibility.
    **choices
        Starting values of :class:`attnpanel.explorer.state.ExplorerState`, e.g.
        ``layer=3, head=1``.

    Raises
    ------
    ValueError
        If the trace holds no call, or a choice does not exist in it.

    Examples
    --------
    >>> import attnpanel as ap
    >>> explorer = ap.Explorer(ap.toy_trace(), head=2)  # doctest: +SKIP
    >>> explorer.state.temperature = 0.5  # doctest: +SKIP
    """

    def __init__(
        self,
        trace: Trace,
        *,
        whole_page: bool = False,
        drawn_by: DrawnBy = "page",
        **choices: Any,
    ) -> None:
        load_libraries()
        super().__init__()
        self.state = state = ExplorerState(trace, **choices)
        self.views = LiveViews(state)
        self.language = current_language()
        self.explorer_id = explorer_id = uuid.uuid4().hex
        self.address: dict[str, str] = {}
        self.bridge = None if drawn_by == "file" else ExplorerBridge(state, explorer_id)
        self.controls = Controls(state)
        # The rare controls, which the bar shows on demand; a page may add its own.
        self.more = box(*self.controls.rare, css="attn-rare")
        self.figures = explorer_figures(state, explorer_id)
        marked = {view.name: view.marks for view in VIEWS if view.marks is not None}
        add_marks(self.figures, marked)
        self.head_maps = HeadMapsBridge(state, explorer_id)
        self.interaction = Interaction(
            explorer_id=explorer_id,
            root_class=f"attn-{explorer_id}",
            whole_page=whole_page,
            asks_theme=whole_page,
            width=0,
            height=0,
            margin=0,
            css_classes=["attn-interaction"],
        )
        self.annotations = Annotations(
            explorer_id=explorer_id,
            marked=marked,
            root_class=f"attn-{explorer_id}",
            whole_page=whole_page,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-annotations"],
        )
        self.notes = ()
        self.tokens = TokenStrip(
            explorer_id=explorer_id,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-token-strip"],
        )
        self.lesson = LessonCard(explorer_id=explorer_id, margin=0, css_classes=["attn-lesson"])
        self.lines = LineChoices(
            explorer_id=explorer_id,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-line-choices"],
        )
        self.why = WhyToken(
            explorer_id=explorer_id,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-why-token"],
        )
        self.on_picture = OnPicture(
            explorer_id=explorer_id,
            visible=trace.picture is not None,
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-on-picture"],
        )
        for component in (
            self.interaction,
            self.annotations,
            self.tokens,
            self.head_maps.component,
            self.lesson,
            self.lines,
            self.why,
            self.on_picture,
        ):
            component.driver = "browser"
        self.notice = Caption(
            tone="error",
            visible=False,
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-notice"],
        )
        self._body = box(*self._cards(), css="attn-explorer-body")
        self._layout = box(
            self.interaction,
            self.notice,
            self._body,
            css=f"attn-root attn-{explorer_id} {self._theme_class()}",
        )
        self._layout.stylesheets = [theme_variables(), stylesheet()]
        if whole_page:
            self.refresh_address()
        state.param.watch(self._on_change, [name for name in state.param if name != "name"])

    def __panel__(self) -> Any:
        return self._layout

    @property
    def notes(self) -> tuple[Note, ...]:
        """The notes on the trace, including those written on the page.

        Raises
        ------
        ValueError
            If the page sent an invalid note.
        """
        return self.annotations.read(self.state.trace)

    @notes.setter
    def notes(self, notes: Iterable[Note]) -> None:
        self.annotations.write(notes, self.state.trace)

    @property
    def waiting(self) -> bool:
        """Whether the pictures are hidden, because others are on their way."""
        return "attn-waiting" in self._body.css_classes

    @waiting.setter
    def waiting(self, waiting: bool) -> None:
        self._body.css_classes = ["attn-explorer-body", *["attn-waiting"] * waiting]
        if self.bridge is not None:
            self.bridge.on_drawn = None

    def show_when_drawn(self) -> None:
        """End the waiting as soon as the page has drawn the trace that was set."""

        def show() -> None:
            self.waiting = False

        if not self.waiting or self.bridge is None:
            show()
        else:
            self.bridge.on_drawn = show

    def set_dark(self, dark: bool) -> None:  # noqa: FBT001 - what the button sets
        """Set the dark or light theme, overriding the system's preference."""
        self.interaction.asks_theme = False
        self.address["theme"] = "dark" if dark else "light"
        self.state.dark = dark

    def refresh_address(self) -> None:
        """Have the page write the source and every choice into its URL."""
        if self.bridge is not None:
            self.bridge.component.address = dict(self.address)

    def hold_address(self) -> None:
        """Stop the page from writing its URL until :meth:`refresh_address`."""
        if self.bridge is not None:
            self.bridge.component.address = None

    def draw_alone(self) -> None:
        """Prepare for a page without a session, which contains all that it draws from."""
        if self.bridge is not None:
            self.bridge.component.drawn_alone = True
        self.head_maps.read_all()

    def _cards(self) -> list[Any]:
        numbers, provenance = (
            caption(f"attn-caption-{name}", tone="muted") for name in ("numbers", "provenance")
        )
        sentence = SentenceLine(
            sizing_mode="stretch_width", margin=0, css_classes=["attn-sentence-line"]
        )
        busy = Caption(tone="busy", margin=0, css_classes=["attn-busy"])
        driver = [] if self.bridge is None else [self.bridge.component]
        # What belongs to one view alone, below its plot.
        below = {"row": [self.tokens], "grid": [numbers, provenance], "lines": [self.lines]}
        steps: list[Any] = []
        cards: dict[str, list[Any]] = {"center": [], "side": []}
        for view in VIEWS:
            title = caption(f"attn-caption-{view.name}", heading=True)
            parts = [title, self._plot(view)]
            if view.compose is image_element:
                parts.append(legend(view.name))
            if view.place == "steps":
                title.css_classes = [*title.css_classes, "attn-step-title"]
                steps += [_operations(*view.operations)] if view.operations else []
                steps.append(box(*parts, css="attn-step"))
            else:
                css = f"attn-card attn-card-{view.name}"
                cards[view.place].append(box(*parts, *below.get(view.name, []), css=css))
        # On a phone, the page opens at what most controls change.
        names = {view.name: t(view.title) for view in VIEWS if view.place == "steps"}
        tabs = StepTabs(
            names=list(names.values()),
            first=list(names).index("weights"),
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-step-tabs"],
        )
        return [
            box(
                *self.controls.bar,
                MoreButton(margin=0, css_classes=["attn-more-button"]),
                self._action(
                    t("Lesson"), t("Eight short steps, on these pictures"), lesson={"toggle": True}
                ),
                self._action("?", t("List the keys"), keys=True),
                caption("attn-caption-withheld", tone="muted", visible=False),
                self.more,
                css="attn-controls attn-bar",
            ),
            self.lesson,
            box(
                *driver,
                busy,
                box(tabs, box(*steps, css="attn-steps"), sentence, self.why, css="attn-card"),
                self.on_picture,
                *cards["center"],
                box(self.head_maps.component, css="attn-card"),
                box(self.annotations, css="attn-card"),
                css="attn-center",
            ),
            box(*cards["side"], css="attn-side"),
        ]

    def _action(self, label: str, tooltip: str, **message: Any) -> ActionButton:
        return ActionButton(
            explorer_id=self.explorer_id,
            driver="browser",
            label=label,
            tooltip=tooltip,
            message=message,
            margin=0,
            css_classes=["attn-action-button", "attn-wide"],  # under More on a narrow page
        )

    def _plot(self, view: View) -> Any:
        # Right below its title, a plot has its tools in the title's line.
        titled = " attn-titled" * (view.place != "steps")
        css = f"attn-plot attn-plot-{view.name}{titled}"
        return box(FigurePane(self.figures[view.name]), css=css)

    def _theme_class(self) -> str:
        return "attn-dark" if self.state.dark else "attn-light"

    def _on_change(self, *events: Any) -> None:
        changed = {event.name for event in events}
        if "dark" in changed:
            self._layout.css_classes = (
                f"attn-root attn-{self.explorer_id} {self._theme_class()}".split()
            )
            self.interaction.dark = self.state.dark
        if "trace" in changed:
            self.controls.refresh()
            self.notes = ()
            self.head_maps.forget()
        if self.bridge is not None:
            self.bridge.follow_state()


def _explained(operation: str) -> str:
    """Return an operation whose last word js/components/words.js explains."""
    *before, word = operation.split(" ")
    sign = "".join(f"{part} " for part in before)
    shown = escape(t(word))
    return f"{sign}<span class='attn-word' tabindex='0' data-word='{word}'>{shown}</span>"


def _operations(*names: str) -> Any:
    """Return the operations between two plots, as a pane."""
    lines = "".join(f"<span>{_explained(name)}</span>" for name in names)
    return pn.pane.HTML(
        f"<b aria-hidden='true'>→</b>{lines}",
        css_classes=["attn-operations"],
        stylesheets=[stylesheet()],
        margin=0,
    )
