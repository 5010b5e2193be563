"""A prompt through one of the operator's models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import panel as pn

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

    from attnpanel.models.intervention_spec import InterventionSpec
    from attnpanel.models.prompts import PromptChange
    from attnpanel.pages.server_settings import ServerSettings
    from attnpanel.pages.trace_sources.callbacks import Notify, ShowChange, ShowTrace
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
    """

    text: str
    model: str
    change: InterventionSpec


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
    ) -> None:
        self._show, self._notify, self._settings = show, notify, settings
        self._show_change = show_change
        self._work = LatestTask("attnpanel-prompt", "prompt")
        self._rate = RateLimit(settings.max_prompts, "prompts")
        self.last_run: PromptRun | None = None
        self.change = InterventionForm()
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
            width=150,
        )
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

    def abandon(self) -> None:
        """Drop a prompt that is still running; called when another source is chosen."""
        self._work.abandon()
        self._run.loading = False

    def open(self) -> None:
        """Run the prompt in a background thread and report its progress on the page."""
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
            self._start(text)

    def _start(self, text: str) -> None:
        model, max_tokens = str(self._model.value), self._settings.max_tokens
        try:
            change = self.change.chosen()
        except ValueError as error:
            self._notify("error", f"{str(error).capitalize()}.")
            return
        refusal = self._rate.refusal()
        if refusal is not None:
            self._notify("error", refusal)
            return
        run = PromptRun(text, model, change)
        start = PROMPT_START if text == PROMPT and model == "minilm" else {}
        start = start | _choices_of(change)
        self._run.loading = True
        self._notify("busy", t("Reading the prompt …"))

        def work(on_progress: Callable[[str], None]) -> tuple[Trace, PromptChange | None]:
            def progress(fraction: float, message: str) -> None:
                on_progress(f"{message} ({fraction:.0%})")

            return _run_prompt(text, change, model=model, max_tokens=max_tokens, progress=progress)

        self._work.start(
            work,
            on_done=lambda result: self._on_done(run, start, result),
            on_error=self._on_error,
            on_progress=lambda text: self._notify("busy", text),
        )

    def _on_done(
        self,
        run: PromptRun,
        start: Mapping[str, Any],
        result: tuple[Trace, PromptChange | None],
    ) -> None:
        trace, changed = result
        self._run.loading = False
        self.last_run = run
        self.change.fit(trace)
        self.change.settle(run.change)
        if self._show(trace, start) and changed is not None and self._show_change is not None:
            tokens = trace.tokens_of(trace.calls[0])[0]
            self._show_change(changed, run.change.describe(tokens, say=t))

    def _on_error(self, problem: str) -> None:
        self._run.loading = False
        self._notify("error", f"{problem} {t('What was shown before is still here.')}")

    def address(self) -> dict[str, str]:
        """Return the query parameters that repeat the last run; none before the first."""
        run = self.last_run
        if run is None:
            return {}
        change = {"change": run.change.to_text()} if run.change else {}
        model = {"model": run.model} if len(self._settings.models) > 1 else {}
        return {"prompt": run.text, **change, **model}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set prompt, change and model from a link; return one sentence per invalid one."""
        if "prompt" in texts:
            self._text.value = texts["prompt"][: self._settings.max_characters]
        problems = self.change.restore(texts)
        if texts.get("model") in self._settings.models:
            self._model.value = texts["model"]
        elif "model" in texts:
            listed = ", ".join(self._settings.models)
            text = t("This server runs {models}; the link asks for another model.", models=listed)
            problems.append(text)
        return problems


def _run_prompt(
    text: str, change: InterventionSpec, **options: Any
) -> tuple[Trace, PromptChange | None]:
    """Run a prompt; with a change, run it unchanged and changed and return the changed trace."""
    from attnpanel.models.prompts import change_prompt, trace_prompt

    changed = change_prompt(text, **options, **change.arguments()) if change else None
    trace = trace_prompt(text, **options) if changed is None else changed.after
    check_computable(trace)  # here, in a thread: the page asks again, and hears at once
    return trace, changed


def _choices_of(change: InterventionSpec) -> dict[str, Any]:
    """Return the choices that show a change: layer, head, and the query of a removed edge."""
    query = int(change.values[0]) if change.kind.name == "edge" else None
    choices = {"layer": change.layer, "head": change.head, "query_index": query}
    return {name: value for name, value in choices.items() if value is not None}
