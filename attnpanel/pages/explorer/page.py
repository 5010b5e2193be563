"""The explorer's served page: a choice of trace sources above an explorer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.attention.progress import no_progress
from attnpanel.comparison.initial_state import SHARED
from attnpanel.explorer.address import ADDRESS, apply_address
from attnpanel.explorer.explorer import Explorer
from attnpanel.models.intervene.output_change import describe_output
from attnpanel.models.loading import MINILM
from attnpanel.models.toy import toy_trace
from attnpanel.pages.compare.report import save_comparison
from attnpanel.pages.explorer.before_after import BeforeAfterCard

# Imported here, not in a function: Bokeh does not describe a component class that is first created
# while a page is served in other documents.
from attnpanel.pages.explorer.report import save_report, snapshot
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.pages.trace_sources import FileSource, PromptSource, ToySource
from attnpanel.pages.trace_sources.writing import WritingCard
from attnpanel.trace.computable import check_computable
from attnpanel.ui import Caption, CopyLink, Download, ThemeButton
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.fields import field
from attnpanel.ui.header import brand, start_page
from attnpanel.ui.layout import box
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import linked_language, t

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from attnpanel.trace import Trace

SOURCES = ("Toy", "Prompt", "File")
# The toy's token to open on: the lesson's notebook looks at its row, which has one large weight.
TOY_TOKEN = 2


class Page:
    """The explorer's page of one session.

    Parameters
    ----------
    settings : ServerSettings
    link : mapping of str to str
        Query parameters of the URL: the source and the explorer's choices.
    drawn_alone : bool, optional
        Whether there is no session: the page draws itself, and asks for one when it needs Python.
    """

    def __init__(
        self, settings: ServerSettings, link: Mapping[str, str], *, drawn_alone: bool = False
    ) -> None:
        self._link, self._settings = dict(link), settings
        self._problems: list[str] = []
        self._shown = ""  # the source of the trace on screen; the first toy is nobody's choice
        self._subject: Mapping[str, str] = {}  # its address there
        self._notice = Caption(visible=False, margin=0, sizing_mode="stretch_width")
        self.explorer = Explorer(toy_trace(), whole_page=True, query_index=TOY_TOKEN)
        self.change = BeforeAfterCard(self.explorer.state)
        # MiniLM alone writes nothing: a server of it has no card in its pages.
        writes = any(model != MINILM for model in settings.models)
        self._writing = WritingCard(self.explorer.explorer_id) if writes else None
        self._prompt = PromptSource(
            self._show, self._say, settings, self.change.show, self._writing
        )
        self._sources: dict[str, ToySource | PromptSource | FileSource] = {
            "Toy": ToySource(self._show, self._say),
            "Prompt": self._prompt,
            "File": FileSource(self._show, self._say, settings),
        }
        # Of each source what was shown last, by its address, and the choices there.
        self._places: dict[str, tuple[Mapping[str, str], dict[str, Any]]] = {
            "Toy": (self._sources["Toy"].address(), self._choices())
        }
        self._tabs = field(
            pn.widgets.RadioButtonGroup,
            t("Where the attention comes from"),
            options={t(name): name for name in SOURCES},
            value="Toy",
            css=["attn-sources"],
        )
        self._report = Download(
            self._make_report, label=t("Download report"), filename="attention.html", margin=0
        )
        self._theme = ThemeButton(margin=0)
        self._theme.on_msg(self._toggle_theme)
        if drawn_alone:
            self._theme.param.update(driver="browser", explorer_id=self.explorer.explorer_id)
        self._slot = pn.Column(
            css_classes=["attn-slot"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        # What a source has beside its row stands among the rare controls.
        self._below = box(css="attn-slot-below")
        self.explorer.more.append(self._below)
        self.view = self._lay_out()
        if link.get("theme") in ("dark", "light"):
            self.explorer.set_dark(link["theme"] == "dark")
        # The URL stays as it is until a trace is shown.
        self.explorer.hold_address()
        self._open_link(settings)
        self._tabs.param.watch(lambda _event: self._open_source(), "value")
        if drawn_alone:
            self.explorer.draw_alone()

    def _lay_out(self) -> Any:
        header = pn.Column(
            brand(""),
            self._tabs,
            self._slot,
            CopyLink(margin=0),
            self._report,
            self._theme,
            css_classes=["attn-header"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        layout = self.explorer.__panel__()
        layout.insert(1, header)
        layout.insert(2, self._notice)
        layout.insert(3, self.change.view)
        if self._writing is not None:
            layout.insert(3, self._writing.view)
        return layout

    def _open_link(self, settings: ServerSettings) -> None:
        """Open the source that the URL names; the toy by default."""
        wanted = self._link.get("source", "file" if settings.traces else "toy").capitalize()
        if wanted not in self._sources:
            self._problems.append(
                t("A source must be toy, prompt or file; the link has “{name}”.", name=wanted[:40])
            )
            wanted = "Toy"
        self._tabs.value = wanted
        self._problems += self._sources[wanted].restore(self._link)
        self._open_source()
        self._say_problems()

    def _say_problems(self) -> None:
        if self._problems:
            problems = " ".join(self._problems)
            self._say("error", t("Not restored from the link. {problem}", problem=problems))

    def _open_source(self) -> None:
        current = self._tabs.value
        for source in self._sources.values():
            source.abandon()
        self._slot[:] = [self._sources[current].row]
        self._below[:] = [self._prompt.change.row] if current == "Prompt" else []
        self._below.visible = bool(self._below.objects)
        self._notice.visible = False
        self._sources[current].open()
        # Another source's pictures under this one's name would be taken for its own.
        self.explorer.waiting = (
            current == "Prompt" and self._shown != current and self._prompt.running
        )

    def _show(self, trace: Trace, start: Mapping[str, Any]) -> bool:
        """Show a trace; the first trace also takes the choices in the link.

        Returns
        -------
        bool
            Whether the trace can be shown.
        """
        try:
            check_computable(trace)
        except ValueError as error:
            why = t("This trace can't be shown: {reason}", reason=error)
            self._say("error", f"{why}. {t('What was shown before is still here.')}")
            return False
        self._notice.visible = False
        self.change.hide()
        state = self.explorer.state
        source = self._sources[self._tabs.value]
        theme = {k: v for k, v in self.explorer.address.items() if k == "theme"}
        start = dict(start) | self._place(source.address())
        self.explorer.address = {
            "source": source.name,
            **source.address(),
            **linked_language(),
            **theme,
        }
        try:
            state.trace = trace
            state.choose(**start)
        except ValueError as error:
            self._say("error", t("This trace can't be shown: {reason}", reason=error))
            return False
        self._shown, self._subject = self._tabs.value, source.address()
        self.explorer.show_when_drawn()
        self._offer_importance(trace)
        link, self._link = self._link, {}
        self._problems += apply_address(state, link)
        self._say_problems()
        self._problems = []
        self.explorer.refresh_address()
        return True

    def _place(self, subject: Mapping[str, str]) -> dict[str, Any]:
        """Keep the choices on screen; return those of what is shown next, if it was left before."""
        if self._shown:
            self._places[self._shown] = self._subject, self._choices()
        left, choices = self._places.get(self._tabs.value, ({}, {}))
        return choices if subject and subject == left else {}

    def _choices(self) -> dict[str, Any]:
        """Return the choices on screen."""
        return {name: getattr(self.explorer.state, name) for name in ADDRESS.values()}

    def _offer_importance(self, trace: Trace) -> None:
        """Let the reader measure each head's importance, if the trace is a prompt's.

        A run with changed attention, and a text that was written on, are excluded.
        """
        run = self._prompt.last_run if self._tabs.value == "Prompt" else None
        if run is None or run.change or run.choices or trace.head_importance is not None:
            return
        max_tokens, runs = self._settings.max_tokens, self._settings.prompts

        def measure(trace: Trace, progress: Callable[[float, str], None]) -> None:
            options = {"max_tokens": max_tokens, "progress": progress}
            runs.measure_prompt(trace, run.text, run.model, **options)

        self.explorer.head_maps.offer(measure, runs.pool)

    def _say(self, tone: str, text: str) -> None:
        self._notice.param.update(text=text, tone=tone, visible=True)
        if tone == "error":
            self.explorer.waiting = False

    def _make_report(self) -> DeferredFile | None:
        """Return what is on screen as one offline file, made in a thread; None while it waits."""
        if self.explorer.waiting:
            self._say("busy", t("There is nothing to download before the prompt has run."))
            return None
        return DeferredFile(
            self._report_writer(),
            lambda reason: self._say(
                "error", t("The report can't be made. {reason}", reason=reason)
            ),
        )

    def _report_writer(self) -> Callable[[Path], Path]:
        if self.change.shown is None:
            shown = snapshot(self.explorer)
            return lambda path: save_report(shown, path, progress=no_progress)
        change, words = self.change.shown
        state = self.explorer.state
        return partial(
            save_comparison,
            change.before,
            change.after,
            title=t("Before and after: {change}", change=words),
            outcome=describe_output(change.output, state.query_tokens, say=t),
            changed=words,
            language=self.explorer.language,
            query_index=state.query_index,
            **{name: getattr(state, name) for name in SHARED},
        )

    def _toggle_theme(self, _event: object) -> None:
        self.explorer.set_dark(not self.explorer.state.dark)
        self.explorer.refresh_address()


def page(settings: ServerSettings | None = None) -> Any:
    """Return the explorer's page for a new session, opened at its URL's parameters.

    Parameters
    ----------
    settings : ServerSettings, optional
        By default MiniLM and uploads.
    """
    return Page(settings or ServerSettings(), start_page()).view
