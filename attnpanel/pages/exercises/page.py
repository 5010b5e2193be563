"""The page of exercises: task, live explorer, hint, check, and an answer to export."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.attention.progress import no_progress
from attnpanel.explorer.address import apply_address
from attnpanel.explorer.explorer import Explorer
from attnpanel.explorer.state import MASK_RULE
from attnpanel.models.toy import toy_trace
from attnpanel.pages.exercises import EXERCISES
from attnpanel.pages.exercises.answers import (
    SUBJECT,
    Checked,
    all_answers,
    describe_state,
    file_name,
    live_line,
    one_answer,
    signature,
    stored_words,
    task_text,
)
from attnpanel.pages.exercises.solved import SolvedMarks, exercise_labels
from attnpanel.pages.explorer.report import save_report, snapshot
from attnpanel.pages.server_settings import ServerSettings
from attnpanel.ui import Caption, CopyLink, Download, Explanation, MoreButton, ThemeButton
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.fields import field
from attnpanel.ui.header import brand, link_query, start_page
from attnpanel.ui.layout import CLIP, box
from attnpanel.ui.theme import stylesheet
from attnpanel.ui.words import linked_language, t

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.pages.exercises import Exercise
    from attnpanel.trace import Trace

# A verdict is cleared when one of these choices changes.
CHECKED_CHOICES = (
    "trace",
    "layer",
    "head",
    "aggregate",
    "batch",
    "temperature",
    *MASK_RULE,
    "empty_rows",
)
# Plots whose figures go into an exported answer, with their captions; those of the first two go
# into the file of all answers. That of the scores has all three steps.
SNAPSHOTS = {
    "attn:plot:scores": "Score, softmax and mix",
    "attn:plot:row": "Where “{token}” looks",
    "attn:plot:grid": "All heads",
    "attn:plot:swatches": "Paint mixing",
}


class ExercisesPage:
    """The page of exercises of one session.

    Parameters
    ----------
    settings : ServerSettings
        Prompts go through the first of its models.
    link : mapping of str to str
        Query parameters of the URL: the exercise and the explorer's choices.
    """

    def __init__(self, settings: ServerSettings, link: Mapping[str, str]) -> None:
        self._settings, self._link = settings, dict(link)
        self._work = LatestTask("attnpanel-exercise", "exercise", settings.prompts.pool)
        self._traces: dict[str, Trace] = {"": toy_trace()}
        # By exercise: the words when it was left, and what its last check found.
        self._words: dict[str, str] = {}
        self._checked: dict[str, Checked] = {}
        # Whether Check was pressed while the exercise's sentence was still being read.
        self._check_waits = False
        self.exercise = _find(link.get("exercise", "")) or EXERCISES[0]
        self.explorer = Explorer(self._traces[""], whole_page=True)
        # The URL stays as it is until a trace is shown.
        self.explorer.hold_address()
        if link.get("theme") in ("dark", "light"):
            self.explorer.set_dark(link["theme"] == "dark")
        self._choice = field(
            pn.widgets.Select,
            t("Exercise"),
            seen=False,
            options=exercise_labels(EXERCISES, set()),
            value=self.exercise.name,
            css=["attn-ready"],
        )
        self.solved = SolvedMarks(self._choice, EXERCISES)
        self._notice = _caption(visible=False)
        self._task = _caption(css="attn-exercise-task")
        self._hint = _caption(css="attn-question", live=True, visible=False)
        self._title = _caption(heading=True, css="attn-exercise-title")
        self.verdict = _caption(css="attn-verdict", live=True, visible=False)
        self._question = _caption(css="attn-question")
        self.answer = Explanation(
            label=t("Your answer"),
            placeholder=t("In your own words. It goes into the report."),
            gathers=SUBJECT,
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-explanation", "attn-answer"],
        )
        # Asked once: the browser fills in the name in every exercise, and today's date.
        self.name = _line(t("Your name"), "line", subject="name")
        self.date = _line(t("Date"), "date")
        self._hint_button = pn.widgets.Button(
            label=t("Hint"), margin=0, stylesheets=[stylesheet()], css_classes=["attn-button"]
        )
        self._hint_button.on_click(lambda _event: self._show_hint())
        # It sends the page's state and pictures, but no file comes back.
        self._check_button = Download(
            self.check,
            self._keep_pictures,
            label=t("Check"),
            strong=True,
            plots=list(SNAPSHOTS)[:2],
            margin=0,
        )
        self._export = Download(
            self._make_report, label=t("Export my answer"), filename="answer.html", margin=0
        )
        self._export.plots = list(SNAPSHOTS)
        self._export_all = Download(
            self._make_all,
            label=t("Export all"),
            filename="answers.html",
            margin=0,
            css_classes=["attn-in-words"],
        )
        self._theme = ThemeButton(margin=0)
        self._theme.on_msg(self._toggle_theme)
        self.view = self._lay_out()
        self._open()
        self._choice.param.watch(self._on_choice, "value")
        choices = self.explorer.state.param
        choices.watch(lambda *_events: self._set_verdict(""), list(CHECKED_CHOICES))

    def _lay_out(self) -> Any:
        header = box(
            brand("exercises"),
            self._choice,
            CopyLink(margin=0),
            self._export,
            self._theme,
            self.solved,
            css="attn-header",
        )
        buttons = box(self._check_button, self._hint_button, css="attn-source")
        self._elsewhere = pn.pane.HTML(
            "", margin=0, stylesheets=[stylesheet()], css_classes=["attn-elsewhere"]
        )
        signature = box(self.name, self.date, self._export_all, css="attn-signature")
        writing = box(self._question, self.answer, signature, css="attn-exercise-part attn-folds")
        task = box(
            self._title,
            self._task,
            self._elsewhere,
            buttons,
            self.verdict,
            self._hint,
            css="attn-exercise-part",
        )
        unfold = MoreButton(label=t("Your answer"), margin=0, css_classes=["attn-unfold"])
        card = box(task, unfold, writing, css="attn-card attn-exercise")
        layout = self.explorer.__panel__()
        # In its own box: an element with `display: grid` stays visible when Panel hides it.
        layout[-1] = self._plots = box(layout[-1], css="attn-plots")
        for plot in self.explorer.figures.values():
            plot.styles = CLIP
        layout.insert(1, header)
        layout.insert(2, self._notice)
        layout.insert(3, box(card, css="attn-above"))
        return layout

    def _on_choice(self, event: Any) -> None:
        self._words[self.exercise.name] = self.answer.text
        self.exercise = _find(event.new) or EXERCISES[0]
        self._open()

    def _open(self) -> None:
        """Show the exercise's texts and its trace."""
        exercise = self.exercise
        self._work.abandon()
        self._check_waits = self._notice.visible = False
        self._title.text = t(exercise.title)
        self._task.text = task_text(exercise)
        self._question.text = t(exercise.question)
        self._hint.param.update(text="", visible=False)
        self._set_verdict("")
        self.answer.subject = SUBJECT + exercise.name
        here = not exercise.elsewhere
        self._plots.visible = self._check_button.visible = self._export.visible = here
        # Trusted: the text comes from the table of exercises only.
        self._elsewhere.object = "" if here else _link_to(exercise.elsewhere)
        self._elsewhere.visible = not here
        if exercise.prompt in self._traces:
            self._show(self._traces[exercise.prompt])
        else:
            self._run_prompt(exercise)

    def _run_prompt(self, exercise: Exercise) -> None:
        """Run the exercise's prompt through the model in a background thread."""
        model, max_tokens = self._settings.models[0], self._settings.max_tokens
        runs = self._settings.prompts
        self._plots.visible = False
        self._notify("busy", t("Reading the sentence …"))
        no_model = t("The toy's exercises need no model.")

        def work(on_progress: Callable[[str], None]) -> Trace:
            return runs.trace_prompt(
                exercise.prompt,
                model,
                max_tokens=max_tokens,
                progress=lambda _fraction, message: on_progress(message),
            )

        def on_done(trace: Trace) -> None:
            self._traces[exercise.prompt] = trace
            self._notice.visible = False
            self._plots.visible = True
            self._show(trace)
            if self._check_waits:
                self.check()

        def on_error(text: str) -> None:
            self._check_waits = False
            self._set_verdict("")
            self._notify("error", f"{text} {no_model}")

        self._work.start(
            work,
            on_done=on_done,
            on_error=on_error,
            on_progress=lambda text: self._notify("busy", text),
        )

    def _show(self, trace: Trace) -> None:
        """Show a trace at the exercise's start; the first one also takes the link's choices."""
        state, theme = self.explorer.state, self.explorer.address.get("theme")
        self.explorer.address = {
            "exercise": self.exercise.name,
            **linked_language(),
            **({"theme": theme} if theme else {}),
        }
        if state.trace is not trace:
            state.trace = trace
        defaults = {name: state.param[name].default for name in ("temperature", "aggregate")}
        mask = state.param["mask"].objects[0]
        empty = "uniform" if trace.source == "toy" else "zero"
        state.choose(**{**defaults, "mask": mask, "empty_rows": empty, **self.exercise.start})
        link, self._link = self._link, {}
        problems = apply_address(state, link)
        if problems:
            text = t("Not restored from the link. {problem}", problem=" ".join(problems))
            self._notify("error", text)
        self.explorer.refresh_address()

    def _show_hint(self) -> None:
        hint = t("Hint: {hint}", hint=t(self.exercise.hint))
        self._hint.param.update(text=hint, visible=True)

    def _keep_pictures(self) -> None:
        """Keep the pictures of the state that was checked, if it is still on screen."""
        checked = self._checked.get(self.exercise.name)
        if checked is not None and checked.place == describe_state(self.explorer.state):
            pictures = self._captioned(self._check_button.snapshots)
            self._checked[self.exercise.name] = replace(checked, pictures=pictures)

    def check(self) -> None:
        """Show whether the explorer's current state solves the exercise."""
        if self.exercise.check is None:
            return
        self._check_waits = not self._plots.visible and self._notice.tone == "busy"
        if self._check_waits:
            self._set_verdict(t("The sentence is still being read; the check follows."))
        if not self._plots.visible:
            return
        try:
            verdict = self.exercise.check(self.explorer.state)
        except ValueError as error:
            self._set_verdict(t("This can't be checked: {reason}.", reason=error))
            return
        self._set_verdict(verdict.text, solved=verdict.solved)
        place = describe_state(self.explorer.state)
        before = self._checked.get(self.exercise.name)
        if before is None or (before.verdict, before.place) != (verdict.text, place):
            self._checked[self.exercise.name] = Checked(verdict.text, place)
        if verdict.solved:
            self.solved.add(self.exercise.name)

    def _set_verdict(self, text: str, *, solved: bool = False) -> None:
        """Show the verdict; empty it is invisible, since the card's gaps would stay."""
        css = ["attn-verdict", *["attn-solved"] * solved]
        self.verdict.param.update(text=text, visible=bool(text), css_classes=css)

    def _captioned(self, sent: Mapping[str, bytes]) -> dict[str, bytes]:
        state = self.explorer.state
        token = state.query_tokens[state.query_index]
        return {t(SNAPSHOTS[name], token=token): png for name, png in sent.items()}

    def _make_report(self) -> DeferredFile:
        """Return exercise, verdict, answer and explorer as one HTML file, made in a thread."""
        self.check()
        checked = Checked(self.verdict.text, describe_state(self.explorer.state))
        file = file_name(self.exercise.name, self.name.text, self.date.text)
        self._export.filename = file
        write = partial(
            save_report,
            snapshot(self.explorer),
            progress=no_progress,
            title=t("Exercise: {title}", title=t(self.exercise.title)),
            foreword=one_answer(self.exercise, self.answer.text, checked, self._signature()),
            stills=self._captioned(self._export.snapshots),
        )
        return DeferredFile(write, self._not_exported)

    def _make_all(self) -> DeferredFile | None:
        """Return the answers to all exercises as one HTML file, made in a thread."""
        words = {
            **stored_words(self.answer.kept),
            **self._words,
            self.exercise.name: self.answer.text,
        }
        answers = all_answers(EXERCISES, words, self._checked)
        if not answers:
            self._notify("error", t("There is no answer to export yet."))
            return None
        self._export_all.filename = file_name("all", self.name.text, self.date.text)
        write = partial(
            save_report,
            snapshot(self.explorer),
            progress=no_progress,
            title=t("Exercises: {count} of {all}", count=len(answers), all=len(EXERCISES)),
            foreword=[(self._signature(), {}), *answers, (live_line(self.exercise), {})],
        )
        return DeferredFile(write, self._not_exported)

    def _signature(self) -> str:
        return signature(self.name.text, self.date.text)

    def _not_exported(self, reason: str) -> None:
        self._notify("error", t("The answer can't be exported. {reason}", reason=reason))

    def _notify(self, tone: str, text: str) -> None:
        self._notice.param.update(text=text, tone=tone, visible=True)

    def _toggle_theme(self, _event: object) -> None:
        self.explorer.set_dark(not self.explorer.state.dark)
        self.explorer.refresh_address()


def exercises_page(settings: ServerSettings | None = None) -> Any:
    """Return the page of exercises for a new session, opened at its URL's parameters.

    Parameters
    ----------
    settings : ServerSettings, optional
        By default MiniLM.
    """
    return ExercisesPage(settings or ServerSettings(), start_page()).view


def _find(name: str) -> Exercise | None:
    return next((exercise for exercise in EXERCISES if exercise.name == name), None)


def _link_to(page: str) -> str:
    text = t("Do it on the page “{page}”", page=t(page.capitalize()))
    return f"<a href='./{page}{link_query()}'>{escape(text)}</a>"


def _line(label: str, kind: str, *, subject: str = "") -> Explanation:
    return Explanation(
        label=label,
        placeholder=label,
        kind=kind,
        subject=subject,
        margin=0,
        css_classes=["attn-explanation", f"attn-{kind}"],
    )


def _caption(*, css: str = "attn-caption-part", **options: Any) -> Caption:
    return Caption(margin=0, sizing_mode="stretch_width", css_classes=[css], **options)
