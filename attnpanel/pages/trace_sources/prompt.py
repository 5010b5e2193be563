"""A prompt through one of the operator's models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.attention.errors import error_sentence
from attnpanel.models.continuation import WritingChoices
from attnpanel.pages.explorer.intervention_form import InterventionForm
from attnpanel.pages.limits import RateLimit
from attnpanel.pages.trace_sources.callbacks import widget_row
from attnpanel.trace.computable import check_computable
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.fields import field
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.models.continuation import Writer, WrittenText, WrittenToken
    from attnpanel.models.intervention_spec import InterventionSpec
    from attnpanel.models.prompts import PromptChange
    from attnpanel.pages.prompt_runs.local import PromptRuns
    from attnpanel.pages.server_settings import ServerSettings
    from attnpanel.pages.trace_sources.callbacks import Notify, ShowChange, ShowTrace
    from attnpanel.pages.trace_sources.writing import Writing, WritingCard
    from attnpanel.trace import Trace

PROMPT = "The trophy does not fit in the brown suitcase because it is too large."
# Choices for the default prompt: a head in which “it” attends to “trophy”.
PROMPT_START = {"layer": 3, "head": 1, "query_index": 11}


@dataclass(frozen=True)
class PromptRun:
    """Inputs of a run; the form's fields may have changed since.

    Attributes
    ----------
    text, model : str
    change : InterventionSpec
        Change of the model's attention; falsy if there is none.
    choices : WritingChoices or None
        How the text is written on, if it is.
    outputs : bool
        Whether what heads write after the output projection is recorded, too.
    """

    text: str
    model: str
    change: InterventionSpec
    choices: WritingChoices | None = None
    outputs: bool = False


@dataclass(frozen=True, eq=False)
class PromptResult:
    """What came of a run.

    Attributes
    ----------
    trace : Trace
    change : PromptChange or None
        The runs without and with a change, if there was one.
    written : WrittenText or None
        What was written on, if anything.
    writer : Writer or None
        What is to be known of the model if it can write on.
    """

    trace: Trace
    change: PromptChange | None = None
    written: WrittenText | None = None
    writer: Writer | None = None


class PromptSource:
    """A prompt through one of the operator's models, with an optional change of its attention.

    Parameters
    ----------
    show : callable
        Shows a trace.
    notify : callable
        Shows a message.
    settings : ServerSettings
    show_change : callable, optional
        Called after a run with changed attention is shown.
    writing : WritingCard, optional
        In which a model writes on; without one no model does.

    Attributes
    ----------
    last_run : PromptRun or None
        Inputs of the run that ended last, which is the one on screen.
    """

    name = "prompt"

    def __init__(
        self,
        show: ShowTrace,
        notify: Notify,
        settings: ServerSettings,
        show_change: ShowChange | None = None,
        writing: WritingCard | None = None,
    ) -> None:
        self._show, self._notify, self._settings = show, notify, settings
        self._show_change = show_change
        self._writing = writing
        if writing is not None:
            writing.on_write = self.open
        self._writer: Writer | None = None
        # How a link has its text written on, and whether it has a token, until that is run.
        self._linked: tuple[WritingChoices | None, bool] = (None, False)
        self._work = LatestTask("attnpanel-prompt", "prompt", settings.prompts.pool)
        self._rate = RateLimit(settings.max_prompts, "prompts")
        self.last_run: PromptRun | None = None
        self._under_way: PromptRun | None = None
        self._text = field(
            pn.widgets.TextInput,
            t("Prompt"),
            seen=False,
            value=PROMPT,
            placeholder=t("Type a sentence"),
            max_length=settings.max_characters,
            sizing_mode="stretch_width",
            css=["attn-prompt"],
        )
        self._text.param.watch(lambda _event: self.open(), "enter_pressed")
        self._model = field(
            pn.widgets.Select,
            t("Model"),
            seen=False,
            options=list(settings.models),
            visible=len(settings.models) > 1,
            css=["attn-of-source"],
        )
        self._model.param.watch(lambda _event: self._offer_writing(), "value")
        self._outputs = pn.widgets.Checkbox(
            label=t("What heads write"),
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-outputs"],
        )
        self.change = InterventionForm(option=self._outputs)
        self._run = pn.widgets.Button(
            label=t("Run"),
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-button", "attn-primary"],
        )
        self._run.on_click(lambda _event: self.open())
        self.row = widget_row(self._text, self._model, self._run)

    @property
    def running(self) -> bool:
        """Whether a prompt is on its way through the model."""
        return bool(self._run.loading)

    def _end_run(self) -> None:
        self._under_way, self._run.loading = None, False

    def abandon(self) -> None:
        """Drop a prompt that is still running; called when another source is chosen."""
        self._work.abandon()
        self._end_run()
        self._writer = None
        self._offer_writing()

    def _offer_writing(self) -> None:
        """Let the chosen model write on if the text on screen is its own and it can."""
        if self._writing is not None:
            run = self.last_run
            own = run is not None and run.model == self._model.value
            self._writing.offer(self._writer if own else None)

    def open(self, choices: WritingChoices | None = None) -> None:
        """Run the prompt in a background thread and report its progress on the page.

        With `choices` the model writes on.
        """
        text = str(self._text.value_input or self._text.value or "")
        if not text.strip():
            self._notify("error", t("Type a sentence first."))
        elif len(text) > self._settings.max_characters:
            limit, got = f"{self._settings.max_characters:,}", f"{len(text):,}"
            rule = t(
                "A prompt may have at most {limit} characters; got {got}.", limit=limit, got=got
            )
            self._notify("error", rule)
        else:
            (linked, has_token), self._linked = self._linked, (None, False)
            self._start(text, choices or linked, selects=not has_token)

    def _next_run(self, text: str, choices: WritingChoices | None) -> PromptRun | None:
        """Return what is to be run; None if it is under way, or refused."""
        try:
            change = self.change.chosen()
        except ValueError as error:
            self._notify("error", f"{str(error).capitalize()}.")
            return None
        outputs = bool(self._outputs.value)
        run = PromptRun(text, str(self._model.value), change, choices, outputs)
        if run == self._under_way and choices is None:
            return None
        refusal = self._rate.refusal()
        if refusal is not None:
            self._notify("error", refusal)
            return None
        return run

    def _start(
        self, text: str, choices: WritingChoices | None = None, *, selects: bool = True
    ) -> None:
        run = self._next_run(text, choices)
        if run is None:
            return
        model, change, max_tokens = run.model, run.change, self._settings.max_tokens
        runs = self._settings.prompts
        start = PROMPT_START if text == PROMPT and model == "minilm" else {}
        start = start | _choices_of(change)
        self._under_way = run
        self._run.loading = True
        self._notify("busy", t("Reading the prompt …"))
        card, writing = self._writing, None
        if card is not None:
            card.drop_unfinished()
        if card is not None and choices is not None:
            writing = card.prepare(text, choices)

        def work(on_progress: Callable[[str], None]) -> PromptResult:
            def progress(fraction: float, message: str) -> None:
                on_progress(f"{message} ({fraction:.0%})")

            options: dict[str, Any] = {"max_tokens": max_tokens, "progress": progress}
            if writing is None:
                return _run_prompt(runs, run, writes=card is not None, **options)
            return _write_prompt(runs, run, writing, lambda: on_progress(""), **options)

        def on_progress(message: str) -> None:
            self._notify("busy", message or t("Writing …"))
            if card is not None and writing is not None:
                card.update(writing)

        self._work.start(
            work,
            on_done=lambda result: self._on_done(run, start, result, writing, selects=selects),
            on_error=self._on_error,
            on_progress=on_progress,
        )

    def _on_done(
        self,
        run: PromptRun,
        start: Mapping[str, Any],
        result: PromptResult,
        writing: Writing | None = None,
        *,
        selects: bool = True,
    ) -> None:
        trace, changed, written = result.trace, result.change, result.written
        self._end_run()
        if run.choices is not None and written is not None:
            # What repeats the text, if it was stopped.
            count = max(len(written.written), 1)
            run = replace(run, choices=replace(run.choices, count=count))
            if selects and written.written:
                # Where the last token was drawn; the card may be drawn before the explorer can go.
                start = {**start, "query_index": trace.calls[0].query_len - 2}
        self.last_run = run
        self.change.fit(trace)
        self.change.settle(run.change, option=run.outputs)
        card = self._writing
        if card is not None:
            self._writer = result.writer
            self._offer_writing()
            if writing is not None and written is not None:
                card.update(writing)
                card.end(writing, written)
            else:
                card.clear()
        if not self._show(trace, start):
            return
        if changed is not None and self._show_change is not None:
            tokens = trace.tokens_of(trace.calls[0])[0]
            self._show_change(changed, run.change.describe(tokens, say=t))
        if card is not None and writing is not None:
            card.show(writing, selects=selects)

    def _on_error(self, problem: str) -> None:
        self._end_run()
        if self._writing is not None:
            self._writing.drop_unfinished()
        self._notify("error", f"{problem} {t('What was shown before is still here.')}")

    def address(self) -> dict[str, str]:
        """Return the query parameters that repeat the last run; none before the first."""
        run = self.last_run
        if run is None:
            return {}
        change = {"change": run.change.to_text()} if run.change else {}
        model = {"model": run.model} if len(self._settings.models) > 1 else {}
        write = {"write": run.choices.to_text()} if run.choices else {}
        outputs = {"outputs": "1"} if run.outputs else {}
        return {"prompt": run.text, **change, **model, **write, **outputs}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set prompt, change and model from a link; return one sentence per invalid one."""
        if "prompt" in texts:
            self._text.value = texts["prompt"][: self._settings.max_characters]
        self._outputs.value = texts.get("outputs") == "1"
        problems = self.change.restore(texts)
        if texts.get("model") in self._settings.models:
            self._model.value = texts["model"]
        elif "model" in texts:
            listed = ", ".join(self._settings.models)
            text = t("This server runs {models}; the link asks for another model.", models=listed)
            problems.append(text)
        return problems + self._restore_writing(texts)

    def _restore_writing(self, texts: Mapping[str, str]) -> list[str]:
        text = texts.get("write")
        if text is None:
            return []
        if self._writing is None:
            return [t("No model of this server writes on.")]
        try:
            self._linked = WritingChoices.parse(text), "token" in texts
        except ValueError as error:
            return [error_sentence(error)]
        return []


def _run_prompt(
    runs: PromptRuns, run: PromptRun, *, writes: bool, max_tokens: int, **options: Any
) -> PromptResult:
    """Run a prompt; with a change, run it unchanged and changed and return the changed trace."""
    options |= {"model": run.model, "max_tokens": max_tokens, "outputs": run.outputs}
    changed = None
    if run.change:
        changed = runs.change_prompt(run.text, **options, **run.change.arguments())
    trace = runs.trace_prompt(run.text, **options) if changed is None else changed.after
    check_computable(trace)  # here, in a thread: the page asks again, and hears at once
    writer = runs.writer_of(run.model, max_tokens) if writes else None
    return PromptResult(trace, changed, None, writer)


def _write_prompt(
    runs: PromptRuns,
    run: PromptRun,
    writing: Writing,
    on_written: Callable[[], None],
    *,
    max_tokens: int,
    **options: Any,
) -> PromptResult:
    """Have a prompt written on, perhaps under a change."""
    writing.writer = runs.writer_of(run.model, max_tokens)

    def on_token(token: WrittenToken) -> None:
        writing.put(token)
        on_written()

    def stopped() -> bool:
        on_written()  # ends a text that another one overtakes, while no token comes
        return writing.stopped

    text = runs.write_prompt(
        run.text,
        run.model,
        writing.choices,
        max_tokens=max_tokens,
        change=run.change.arguments(),
        outputs=run.outputs,
        on_token=on_token,
        stopped=stopped,
        **options,
    )
    check_computable(text.trace)
    return PromptResult(text.trace, text.change, text, writing.writer)


def _choices_of(change: InterventionSpec) -> dict[str, Any]:
    """Return the choices that show a change: layer, head, and the query of a removed edge."""
    query = int(change.values[0]) if change.kind.name == "edge" else None
    choices = {"layer": change.layer, "head": change.head, "query_index": query}
    return {name: value for name, value in choices.items() if value is not None}
