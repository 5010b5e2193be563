"""Where a page's trace comes from: the toy, a prompt through a model, or a trace file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import Upload
from attnpanel.change_choice import ChangeChoice
from attnpanel.page_work import PageWork
from attnpanel.sources.toy import toy_trace
from attnpanel.theme import stylesheet
from attnpanel.trace import Trace

if TYPE_CHECKING:
    from pathlib import Path

    from attnpanel.change import Change
    from attnpanel.sources.prompts import PromptChange

PROMPT = "The trophy does not fit in the brown suitcase because it is too large."
# What the prompt opens on: a head in which “it” finds what it stands for.
PROMPT_START = {"layer": 3, "head": 1, "query_index": 11}
# Says whether the trace is on screen now.
Show = Callable[[Trace, Mapping[str, Any]], bool]
Say = Callable[[str, str], None]
Compare = Callable[["PromptChange", str], None]


@dataclass(frozen=True)
class Settings:
    """What the operator of a server allows.

    Attributes
    ----------
    models : tuple of str
        The models a visitor may run a prompt through; the first is the default.
    traces : mapping of str to Trace
        Trace files named on the command line, offered by name.
    max_tokens : int
        Longest prompt, in tokens.
    max_characters : int
        Longest prompt, in characters, checked before any tokeniser sees it.
    max_upload_bytes : int
        Largest trace file a visitor may upload, in bytes.
    runs : path or None
        The file that the lab's runs are kept in; None is the user's own.
    max_trainings : int
        How many runs of the lab may train at a time.
    shared_runs : bool
        Whether visitors of the lab may change one another's runs.
    """

    models: tuple[str, ...] = ("minilm",)
    traces: Mapping[str, Trace] = field(default_factory=dict)
    max_tokens: int = 512
    max_characters: int = 20_000
    max_upload_bytes: int = 64_000_000
    runs: Path | None = None
    max_trainings: int = 2
    shared_runs: bool = True


class ToyChooser:
    """The notebook's random toy, by its four numbers."""

    name = "toy"
    _FIELDS = (("T", "T", 8, 2048), ("d_model", "d_model", 8, 1024), ("heads", "heads", 4, 64))

    def __init__(self, show: Show, say: Say) -> None:
        self._show, self._say = show, say
        self._inputs = {
            name: _number(label, default, 1, most) for name, label, default, most in self._FIELDS
        }
        self._inputs["seed"] = _number("seed", 42, 0, 2**31 - 1)
        for widget in self._inputs.values():
            widget.param.watch(self._on_number, "value")
        self._restoring = False
        self.row = _row(*self._inputs.values())

    def _on_number(self, _event: object) -> None:
        if not self._restoring:
            self.open()

    def open(self) -> None:
        """Make the toy of the four numbers and show it."""
        numbers = {name: widget.value for name, widget in self._inputs.items()}
        if None in numbers.values():
            self._say("error", "Each of T, d_model, heads and seed must be a whole number.")
            return
        try:
            trace = toy_trace(**numbers)
        except ValueError as error:
            self._say("error", f"{error}. Choose other numbers.")
            return
        self._show(trace, {})

    def address(self) -> dict[str, str]:
        """Return what a link needs to open the same toy."""
        return {name: str(widget.value) for name, widget in self._inputs.items()}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set the numbers a link carries; return a sentence for each that is unusable."""
        problems = []
        self._restoring = True
        for name, widget in self._inputs.items():
            if name not in texts:
                continue
            text = texts[name]
            usable = text.isdecimal() and len(text) <= 10  # digits of the largest seed
            if usable and widget.start <= int(text) <= widget.end:
                widget.value = int(text)
            else:
                rule = f"{widget.start} to {widget.end}"
                problems.append(f"{name} must be a whole number from {rule}; got “{text[:40]}”.")
        self._restoring = False
        return problems


@dataclass(frozen=True)
class PromptRun:
    """What a prompt was run with, whatever the fields hold by now.

    Attributes
    ----------
    text, model : str
    change : Change
        Of its attention; false where there is none.
    """

    text: str
    model: str
    change: Change


class PromptChooser:
    """A sentence through one of the operator's models, as it is or with its attention changed.

    Parameters
    ----------
    show, say
        As for every chooser.
    settings : Settings
    compare : function of a PromptChange and of words, optional
        Called after a changed run is shown.

    Attributes
    ----------
    ran : PromptRun or None
        The run that has ended last, which is the one to show.
    """

    name = "prompt"

    def __init__(
        self, show: Show, say: Say, settings: Settings, compare: Compare | None = None
    ) -> None:
        self._show, self._say, self._settings = show, say, settings
        self._compare = compare
        self._work = PageWork("attnpanel-prompt")
        self.ran: PromptRun | None = None
        self.change = ChangeChoice()
        self._text = pn.widgets.TextInput(
            value=PROMPT,
            placeholder="Type a sentence",
            max_length=settings.max_characters,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-prompt"],
        )
        self._text.param.watch(lambda _event: self.open(), "enter_pressed")
        self._model = pn.widgets.Select(
            options=list(settings.models),
            visible=len(settings.models) > 1,
            width=150,
            margin=0,
            stylesheets=[stylesheet()],
        )
        self._run = pn.widgets.Button(
            label="Run",
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-button", "attn-primary"],
        )
        self._run.on_click(lambda _event: self.open())
        self.row = _row(self._text, self._model, self._run)

    def abandon(self) -> None:
        """Show no prompt that is still running: the reader has gone to another source."""
        self._work.abandon()
        self._run.loading = False

    def open(self) -> None:
        """Run the prompt in a thread of its own; the page stays alive and tells how far it is."""
        text = str(self._text.value_input or self._text.value or "")
        if not text.strip():
            self._say("error", "Type a sentence first.")
        elif len(text) > self._settings.max_characters:
            most = f"{self._settings.max_characters:,}"
            self._say("error", f"A prompt may have at most {most} characters; got {len(text):,}.")
        else:
            self._start(text)

    def _start(self, text: str) -> None:
        model, most = str(self._model.value), self._settings.max_tokens
        try:
            change = self.change.chosen()
        except ValueError as error:
            self._say("error", f"{str(error).capitalize()}.")
            return
        ran = PromptRun(text, model, change)
        start = PROMPT_START if text == PROMPT and model == "minilm" else {}
        start = start | _places(change)
        self._run.loading = True
        self._say("busy", "Reading the prompt …")

        def work(tell: Callable[[str], None]) -> tuple[Trace, PromptChange | None]:
            def progress(fraction: float, message: str) -> None:
                tell(f"{message} ({fraction:.0%})")

            return _run_prompt(text, change, model=model, max_tokens=most, progress=progress)

        self._work.start(
            work,
            done=lambda made: self._open(ran, start, made),
            failed=self._fail,
            told=lambda said: self._say("busy", said),
        )

    def _open(
        self,
        ran: PromptRun,
        start: Mapping[str, Any],
        made: tuple[Trace, PromptChange | None],
    ) -> None:
        trace, changed = made
        self._run.loading = False
        self.ran = ran
        self.change.fit(trace)
        self.change.settle(ran.change)
        if self._show(trace, start) and changed is not None and self._compare is not None:
            self._compare(changed, ran.change.words(trace.tokens_of(trace.calls[0])[0]))

    def _fail(self, problem: str) -> None:
        self._run.loading = False
        self._say("error", f"{problem} What was shown before is still here.")

    def address(self) -> dict[str, str]:
        """Return what a link needs for the run that has ended last; nothing before the first."""
        if self.ran is None:
            return {}
        change = {"change": self.ran.change.text()} if self.ran.change else {}
        given = {"prompt": self.ran.text, **change}
        return given if len(self._settings.models) == 1 else {**given, "model": self.ran.model}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set the prompt and model a link carries; return a sentence where they are unusable."""
        if "prompt" in texts:
            self._text.value = texts["prompt"][: self._settings.max_characters]
        problems = self.change.restore(texts)
        if texts.get("model") in self._settings.models:
            self._model.value = texts["model"]
        elif "model" in texts:
            listed = ", ".join(self._settings.models)
            problems.append(f"This server runs {listed}; the link asks for another model.")
        return problems


class FileChooser:
    """A trace file: uploaded, or one of those the operator named."""

    name = "file"

    def __init__(self, show: Show, say: Say, settings: Settings) -> None:
        self._show, self._say, self._settings = show, say, settings
        self._parts: list[bytes] = []
        self._expected = 0
        self._upload = Upload(
            max_bytes=settings.max_upload_bytes, sizing_mode="stretch_width", margin=0
        )
        self._upload.on_msg(self._on_message)
        self._named = pn.widgets.Select(
            options=list(settings.traces),
            visible=bool(settings.traces),
            width=220,
            margin=0,
            stylesheets=[stylesheet()],
        )
        self._restoring = False
        self._named.param.watch(self._on_named, "value")
        self._uploaded: Trace | None = None
        self.row = _row(self._named, self._upload)

    def _on_named(self, _event: object) -> None:
        if not self._restoring:
            self.open()

    def open(self) -> None:
        """Show the chosen trace, or say what to do where there is none yet."""
        if self._named.value in self._settings.traces:
            self._show(self._settings.traces[self._named.value], {})
        elif self._uploaded is not None:
            self._show(self._uploaded, {})
        else:
            self._say("plain", "Choose a trace file: a .safetensors file written by Trace.save().")

    def address(self) -> dict[str, str]:
        """Return what a link needs to open the same file; an upload is not on the server."""
        return {"trace": self._named.value} if self._named.value else {}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Choose the trace a link names; return a sentence where it is not here."""
        if texts.get("trace") in self._settings.traces:
            self._restoring = True
            self._named.value = texts["trace"]
            self._restoring = False
        elif "trace" in texts:
            return ["This server has no trace of the name in the link."]
        elif not self._settings.traces:
            return ["An uploaded file is not in its link: choose the file again."]
        return []

    def _on_message(self, event: Any) -> None:
        """Take a chunk; a file that breaks the rules is refused, and the page lives on."""
        message = event.data
        if not isinstance(message, dict):
            return
        if "refused" in message:
            self._say("error", str(message["refused"])[:300])
            return
        chunk, offset, size = (message.get(key) for key in ("chunk", "offset", "size"))
        if offset == 0:
            self._parts, self._expected = [], size if isinstance(size, int) else -1
        received = sum(map(len, self._parts))
        if self._expected > self._settings.max_upload_bytes:
            self._parts, self._expected = [], -1
            most = f"{self._settings.max_upload_bytes / 1e6:.0f} MB"
            self._say("error", f"A trace file may have at most {most}.")
            return
        if (
            not isinstance(chunk, bytes)
            or offset != received
            or received + len(chunk) > self._expected
        ):
            self._parts, self._expected = [], -1
            self._say("error", "The upload was interrupted. Choose the file again.")
            return
        self._parts.append(chunk)
        if received + len(chunk) == self._expected:
            data, self._parts = b"".join(self._parts), []
            self._open_bytes(data, str(message.get("name", "upload"))[:120])

    def _open_bytes(self, data: bytes, name: str) -> None:
        try:
            trace = Trace.from_bytes(data, name)
        except ValueError as error:
            self._say("error", f"{error}. What was shown before is still here.")
            return
        if not trace.calls:
            self._say("error", f"{name} holds no attention call, so there is nothing to show.")
            return
        self._uploaded = trace
        self._show(trace, {})


def _run_prompt(text: str, change: Change, **options: Any) -> tuple[Trace, PromptChange | None]:
    """Run a prompt as it is, or also under the change that is asked for."""
    from attnpanel.sources.prompts import change_prompt, trace_prompt

    if not change:
        return trace_prompt(text, **options), None
    changed = change_prompt(text, **options, **change.asked())
    return changed.after, changed


def _places(change: Change) -> dict[str, Any]:
    """Return what shows a change: its layer, its head, and the query whose edge is cut."""
    query = int(change.numbers[0]) if change.kind.name == "edge" else None
    places = {"layer": change.layer, "head": change.head, "query_index": query}
    return {name: place for name, place in places.items() if place is not None}


def _number(label: str, default: int, low: int, high: int) -> Any:
    return pn.widgets.IntInput(
        label=label,
        value=default,
        start=low,
        end=high,
        width=130,
        margin=0,
        stylesheets=[stylesheet()],
        css_classes=["attn-number"],
    )


def _row(*widgets: Any) -> Any:
    return pn.Row(
        *widgets,
        css_classes=["attn-source"],
        stylesheets=[stylesheet()],
        sizing_mode="stretch_width",
        margin=0,
    )
