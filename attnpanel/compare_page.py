"""The page that compares: two prompts, models, heads, temperatures or masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import CopyLink, Download, Explanation, ThemeButton, Words
from attnpanel.browser.boxes import box, caption
from attnpanel.change import Change, read_change
from attnpanel.change_choice import ChangeChoice
from attnpanel.choosers import Settings
from attnpanel.compare import Comparison
from attnpanel.compare_report import save_comparison
from attnpanel.comparison import READY
from attnpanel.navigation import brand, visitor_link
from attnpanel.page_work import PageWork
from attnpanel.sources.output_change import output_words
from attnpanel.sources.toy import toy_trace
from attnpanel.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.comparison import Ready
    from attnpanel.sources.output_change import OutputChange
    from attnpanel.trace import Trace

OWN = "Prompts of your own"
QUESTION = "What differs between A and B, and why?"
SIDES = ("a", "b")
NAMES = {ready.name: ready for ready in READY}


@dataclass(frozen=True)
class _Asked:
    """What is compared, whatever the fields hold by now: source and text of each side."""

    ready: Ready | None
    sides: Mapping[str, tuple[Any, str]]
    change: Change

    def address(self, models: int) -> dict[str, str]:
        """Return what a link needs to compare the same again, on a server of so many models."""
        if self.ready:
            return {"ready": self.ready.name}
        texts = {side: text for side, (_, text) in self.sides.items()}
        sources = {f"from_{side}": str(source) for side, (source, _) in self.sides.items()}
        if models > 1 or len(set(sources.values())) > 1:
            texts |= sources
        return texts | ({"change": self.change.text()} if self.change else {})


class ComparePage:
    """One visitor's page.

    Parameters
    ----------
    settings : Settings
        What the operator allows.
    link : mapping of str to str
        What the address bar carried: what is compared. The choices in it are read by the page.
    """

    def __init__(self, settings: Settings, link: Mapping[str, str]) -> None:
        self._settings = settings
        self._work = PageWork("attnpanel-compare")
        self._opening = False
        self._notice = Words(visible=False, margin=0, sizing_mode="stretch_width")
        self._ready = _select([*(ready.label for ready in READY), OWN], css="attn-ready")
        sources = [*settings.models, *settings.traces]
        self._sources = {side: _select(sources, css="attn-model") for side in SIDES}
        self._texts = {side: self._text(side) for side in SIDES}
        for source in self._sources.values():
            source.visible = len(sources) > 1
        self._change = ChangeChoice("B's attention", "Compare")
        self._problems: list[str] = []
        self._run = pn.widgets.Button(
            label="Compare",
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-button", "attn-primary"],
        )
        self._report = Download(
            self._make_report, label="Download report", filename="comparison.html", margin=0
        )
        self._question, self._outcome = (caption("attn-question") for _ in range(2))
        self.words = Explanation(
            label="Your explanation",
            placeholder="In your own words. It goes into the report.",
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-explanation"],
        )
        # Until the prompts have been read, and where no model is here: two heads of the toy.
        toy = toy_trace()
        self.comparison = Comparison(toy, toy, head=(0, 1), served=True, whole_page=True)
        self.comparison.body.visible = False
        self.view = self._lay_out()
        self._open_link(link)
        self._ready.param.watch(lambda _event: self._choose(), "value")
        self._run.on_click(lambda _event: self._compare_own())
        for text in self._texts.values():
            text.param.watch(lambda _event: self._compare_own(), "enter_pressed")

    def _text(self, side: str) -> Any:
        return pn.widgets.TextInput(
            label=side.upper(),
            placeholder="Type a sentence",
            max_length=self._settings.max_characters,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-prompt", f"attn-prompt-{side}"],
        )

    def _lay_out(self) -> Any:
        header = box(
            brand("compare"),
            self._ready,
            CopyLink(margin=0),
            self._report,
            ThemeButton(uid=self.comparison.uid, driver="browser", margin=0),
            css="attn-header",
        )
        prompts = box(
            *(_row(self._sources[side], self._texts[side]) for side in SIDES),
            self._run,
            box(self._change.row, css="attn-prompts-below"),
            css="attn-card attn-prompts",
        )
        self.comparison.side.append(
            box(
                Words(text="Explain", heading=True, margin=0),
                self._outcome,
                self._question,
                self.words,
                css="attn-card",
            )
        )
        layout = self.comparison.__panel__()
        layout.insert(1, header)
        layout.insert(2, self._notice)
        layout.insert(3, box(prompts, css="attn-above"))
        return layout

    # -- what is compared -----------------------------------------------------------------

    def _open_link(self, link: Mapping[str, str]) -> None:
        """Open what the address bar asks for; the first ready comparison where it asks for none."""
        own = link.get("a", "").strip() and link.get("b", "").strip()
        ready = NAMES.get(link.get("ready", ""))
        if ready is None and own:
            self._ready.value = OWN
            for side in SIDES:
                self._texts[side].value = link[side][: self._settings.max_characters]
                if link.get(f"from_{side}") in self._sources[side].options:
                    self._sources[side].value = link[f"from_{side}"]
            self._problems = self._change.restore(link)
            self._compare_own()
        else:
            self._ready.value = (ready or READY[0]).label
            self._choose()

    def _choose(self) -> None:
        """Compare what the reader chose from the list."""
        chosen = next((ready for ready in READY if ready.label == self._ready.value), None)
        if self._opening:
            return
        if chosen is None:
            self._question.text = QUESTION
            return
        for side, text in zip(SIDES, (chosen.first, chosen.second), strict=True):
            self._texts[side].value = text
            self._sources[side].value = self._settings.models[0]
        change = read_change(chosen.change)
        self._change.choose(change)
        self._compare(chosen, change)

    def _compare_own(self) -> None:
        """Compare what stands in the fields."""
        try:
            change = self._change.chosen()
        except ValueError as error:
            self._say("error", f"{str(error).capitalize()}.")
            return
        chosen = next((one for one in READY if self._is_untouched(one, change)), None)
        if chosen is None:
            self._opening = True
            self._ready.value = OWN
            self._opening = False
        self._compare(chosen, change)

    def _is_untouched(self, ready: Ready, change: Change) -> bool:
        """Whether what is chosen from the list is what stands in the fields."""
        sides = zip(SIDES, (ready.first, ready.second), strict=True)
        return (
            ready.label == self._ready.value
            and change == read_change(ready.change)
            and all(
                self._said(side) == text and self._sources[side].value == self._settings.models[0]
                for side, text in sides
            )
        )

    def _said(self, side: str) -> str:
        text = self._texts[side]
        return str(text.value_input or text.value or "")

    def _compare(self, ready: Ready | None, change: Change) -> None:
        sides = {side: (self._sources[side].value, self._said(side)) for side in SIDES}
        for side, (source, text) in sides.items():
            if source not in self._settings.traces and not text.strip():
                self._say("error", f"Type a sentence for {side.upper()} first.")
                return
        if change and sides["b"][0] in self._settings.traces:
            self._say("error", "Attention in a file can't be changed: choose a model for B.")
            return
        self._run.loading = True
        self._say("busy", "Reading both sides …")
        asked = _Asked(ready, sides, change)
        self._work.start(
            lambda tell: self._both(asked, tell),
            done=lambda made: self._show(asked, *made),
            failed=self._fail,
            told=lambda text: self._say("busy", text),
        )

    def _both(
        self, asked: _Asked, tell: Callable[[str], None]
    ) -> tuple[Trace, Trace, OutputChange | None]:
        """Return both traces, and what the change does to the output where A is B before it."""
        from attnpanel.sources.prompts import change_prompt, trace_prompt

        a, b = (asked.sides[side] for side in SIDES)
        if not asked.change:
            first = self._trace(trace_prompt, *a, tell)
            return first, first if a == b else self._trace(trace_prompt, *b, tell), None
        made = self._trace(partial(change_prompt, **asked.change.asked()), *b, tell)
        if a == b:
            return made.before, made.after, made.output
        return self._trace(trace_prompt, *a, tell), made.after, None

    def _trace(
        self, run: Callable[..., Any], source: Any, text: str, tell: Callable[[str], None]
    ) -> Any:
        """Return a side's trace: a file's, or what `run` makes of a prompt through a model."""
        if source in self._settings.traces:
            return self._settings.traces[source]
        if len(text) > self._settings.max_characters:
            raise ValueError(f"a prompt may have {self._settings.max_characters:,} characters")
        return run(
            text,
            model=source,
            max_tokens=self._settings.max_tokens,
            progress=lambda _fraction, message: tell(message),
        )

    def _show(
        self, asked: _Asked, first: Trace, second: Trace, output: OutputChange | None
    ) -> None:
        self._run.loading = False
        ready, tokens = asked.ready, second.tokens_of(second.calls[0])[0]
        changed = asked.change.words(tokens)
        address = asked.address(len(self._settings.models))
        try:
            self.comparison.show(
                first,
                second,
                query_index=_index_of(ready, first),
                choices=ready.choices if ready else None,
                address=address,
                changed=changed,
            )
        except ValueError as error:
            self._say("error", f"These can't be compared: {error}.")
            return
        self._change.fit(second)
        self._change.settle(asked.change)
        self._question.text = ready.question if ready else QUESTION
        self._outcome.text = output_words(output, tokens) if output else ""
        self.words.subject = "&".join(f"{name}={text}" for name, text in address.items())
        self._notice.visible = False
        self.comparison.body.visible = True
        if self._problems:
            self._say("error", "Not restored from the link. " + " ".join(self._problems))
            self._problems = []

    def _fail(self, sentence: str) -> None:
        self._run.loading = False
        if self.comparison.body.visible:
            self._say("error", f"{sentence} What was shown before is still here.")
        else:
            self._question.text = QUESTION
            self._say("error", f"{sentence} Below are two heads of the toy, which needs no model.")
            self.comparison.body.visible = True

    def _say(self, tone: str, text: str) -> None:
        self._notice.param.update(text=text, tone=tone, visible=True)

    def _make_report(self) -> bytes | None:
        """What is compared, as it is shown now and with the reader's words, as one offline file."""
        with TemporaryDirectory() as folder:
            try:
                path = save_comparison(
                    *self.comparison.traces,
                    Path(folder) / "comparison.html",
                    title=str(self._ready.value),
                    question=self._question.text,
                    words=self.words.text,
                    outcome=self._outcome.text,
                    changed=self.comparison.changed,
                    start=self.comparison.state,
                )
            except (ValueError, OSError) as error:
                self._say("error", f"The report can't be made: {error}.")
                return None
            return path.read_bytes()


def compare_page(settings: Settings | None = None) -> Any:
    """Return a new visitor's page, opened at what their address bar asks for.

    Parameters
    ----------
    settings : Settings, optional
        What the operator allows; MiniLM by default.
    """
    return ComparePage(settings or Settings(), visitor_link()).view


def _index_of(ready: Ready | None, trace: Trace) -> int | None:
    """The ready comparison's token; None, the one that differs most, where there is none."""
    tokens = trace.tokens_of(trace.calls[0])[0]
    return tokens.index(ready.token) if ready and ready.token in tokens else None


def _select(options: list[str], *, css: str) -> Any:
    return pn.widgets.Select(
        options=options, margin=0, stylesheets=[stylesheet()], css_classes=[css]
    )


def _row(*widgets: Any) -> Any:
    return pn.Row(
        *widgets,
        css_classes=["attn-source"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )
