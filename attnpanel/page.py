"""The served page: where the trace comes from, above the explorer of it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import CopyLink, Download, ThemeButton, Words
from attnpanel.browser.boxes import box
from attnpanel.change_card import ChangeCard
from attnpanel.choosers import FileChooser, PromptChooser, Settings, ToyChooser
from attnpanel.compare_report import save_comparison
from attnpanel.explorer import Explorer
from attnpanel.navigation import brand, visitor_link

# At the top: a component class made while a page is served isn't described in other documents.
from attnpanel.report import save_report
from attnpanel.sources.output_change import output_words
from attnpanel.sources.toy import toy_trace
from attnpanel.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.sources.prompts import PromptChange
    from attnpanel.trace import Trace

SOURCES = ("Toy", "Prompt", "File")
# What a comparison of a changed run opens with.
CHOICES = ("layer", "head", "aggregate", "temperature", "mask", "pad_len", "window")


class Page:
    """One visitor's page.

    Parameters
    ----------
    settings : Settings
        What the operator allows.
    link : mapping of str to str
        What the address bar carried: the source and the explorer's choices.
    """

    def __init__(self, settings: Settings, link: Mapping[str, str]) -> None:
        self._link, self._settings = dict(link), settings
        self._problems: list[str] = []
        self._notice = Words(visible=False, margin=0, sizing_mode="stretch_width")
        self.explorer = Explorer(toy_trace(), whole_page=True, drawn_by="page")
        self.change = ChangeCard(self.explorer.state)
        self._prompt = PromptChooser(self._show, self._say, settings, self.change.show)
        self._choosers: dict[str, ToyChooser | PromptChooser | FileChooser] = {
            "Toy": ToyChooser(self._show, self._say),
            "Prompt": self._prompt,
            "File": FileChooser(self._show, self._say, settings),
        }
        self._tabs = pn.widgets.RadioButtonGroup(
            options=list(SOURCES),
            value="Toy",
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-sources"],
        )
        self._report = Download(
            self._make_report, label="Download report", filename="attention.html", margin=0
        )
        self._theme = ThemeButton(margin=0)
        self._theme.on_msg(self._toggle_theme)
        self._slot = pn.Column(
            css_classes=["attn-slot"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        # What a source asks beyond its first line.
        self._below = box(css="attn-slot-below")
        self.view = self._lay_out()
        if link.get("theme") in ("dark", "light"):
            self.explorer.set_dark(link["theme"] == "dark")
        # The address keeps what it asked for until something is shown.
        self.explorer.interaction.writes_address = False
        self._open_link(settings)
        self._tabs.param.watch(lambda _event: self._open_source(), "value")

    def _lay_out(self) -> Any:
        header = pn.Column(
            brand(""),
            self._tabs,
            self._slot,
            CopyLink(margin=0),
            self._report,
            self._theme,
            self._below,
            css_classes=["attn-header"],
            stylesheets=[stylesheet()],
            sizing_mode="stretch_width",
            margin=0,
        )
        layout = self.explorer.__panel__()
        layout.insert(1, header)
        layout.insert(2, self._notice)
        layout.insert(3, self.change.view)
        return layout

    # -- from one source to another --------------------------------------------------------

    def _open_link(self, settings: Settings) -> None:
        """Open what the address bar asks for; the toy where it asks for nothing."""
        wanted = self._link.get("source", "file" if settings.traces else "toy").capitalize()
        if wanted not in self._choosers:
            self._problems.append(
                f"A source must be toy, prompt or file; the link has “{wanted[:40]}”."
            )
            wanted = "Toy"
        self._tabs.value = wanted
        self._problems += self._choosers[wanted].restore(self._link)
        self._open_source()
        self._say_problems()

    def _say_problems(self) -> None:
        if self._problems:
            self._say("error", "Not restored from the link. " + " ".join(self._problems))

    def _open_source(self) -> None:
        current = self._tabs.value
        self._prompt.abandon()
        self._slot[:] = [self._choosers[current].row]
        self._below[:] = [self._prompt.change.row] if current == "Prompt" else []
        self._notice.visible = False
        self._choosers[current].open()

    def _show(self, trace: Trace, start: Mapping[str, Any]) -> bool:
        """Show a trace: with what the link asks for the first time, as it starts afterwards.

        Returns
        -------
        bool
            Whether it can be shown.
        """
        self._notice.visible = False
        self.change.hide()
        state = self.explorer.state
        chooser = self._choosers[self._tabs.value]
        theme = {k: v for k, v in self.explorer.address.items() if k == "theme"}
        self.explorer.address = {"source": chooser.name, **chooser.address(), **theme}
        try:
            state.trace = trace
            state.choose(**start)
        except ValueError as error:
            self._say("error", f"This trace can't be shown: {error}")
            return False
        self._offer_importance(trace)
        link, self._link = self._link, {}
        self._problems += state.from_address(link)
        self._say_problems()
        self._problems = []
        self.explorer.interaction.writes_address = True
        self.explorer.refresh_address()
        return True

    def _offer_importance(self, trace: Trace) -> None:
        """Let the reader measure what each head matters, where the model is at hand.

        Not of a run that was changed itself.
        """
        ran = self._prompt.ran if self._tabs.value == "Prompt" else None
        if ran is None or ran.change or trace.head_importance is not None:
            return
        most = self._settings.max_tokens

        def measure(trace: Trace, progress: Callable[[float, str], None]) -> None:
            from attnpanel.sources.prompts import measure_prompt

            measure_prompt(trace, ran.text, ran.model, max_tokens=most, progress=progress)

        self.explorer.reading.offer(measure)

    def _say(self, tone: str, text: str) -> None:
        self._notice.param.update(text=text, tone=tone, visible=True)

    def _make_report(self) -> bytes | None:
        """What is shown, as it is shown now, as one offline file; of a changed run both."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "attention.html"
            try:
                if self.change.shown is None:
                    save_report(self.explorer, path)
                else:
                    self._save_change(*self.change.shown, path)
            except (ValueError, OSError) as error:
                self._say("error", f"The report can't be made: {error}")
                return None
            return path.read_bytes()

    def _save_change(self, change: PromptChange, words: str, path: Path) -> None:
        """Write the run before beside the changed one, at what the explorer shows."""
        state = self.explorer.state
        save_comparison(
            change.before,
            change.after,
            path,
            title=f"Before and after: {words}",
            outcome=output_words(change.output, state.query_tokens),
            changed=words,
            query_index=state.query_index,
            **{name: getattr(state, name) for name in CHOICES},
        )

    def _toggle_theme(self, _event: object) -> None:
        self.explorer.set_dark(not self.explorer.state.dark)
        self.explorer.refresh_address()


def page(settings: Settings | None = None) -> Any:
    """Return a new visitor's page, opened at what their address bar asks for.

    Parameters
    ----------
    settings : Settings, optional
        What the operator allows; MiniLM and uploads by default.
    """
    return Page(settings or Settings(), visitor_link()).view
