"""The page of exercises: a task, a live explorer, a hint, a check, and an answer to hand in."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.browser import CopyLink, Download, Explanation, ThemeButton, Words
from attnpanel.browser.boxes import box
from attnpanel.choosers import Settings
from attnpanel.comparison_figures import CUT
from attnpanel.exercises import EXERCISES
from attnpanel.explorer import Explorer
from attnpanel.navigation import brand, visitor_link
from attnpanel.page_work import PageWork
from attnpanel.report import save_report
from attnpanel.sources.toy import toy_trace
from attnpanel.theme import stylesheet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from attnpanel.exercises import Exercise
    from attnpanel.state import ExplorerState
    from attnpanel.trace import Trace

# The page tells its state 60 ms after a change: what is pressed at once must not overtake it.
CHECK_WAIT_MS = 150
# What a verdict is about: a change of one of these makes it stale.
JUDGED = (
    "trace",
    "layer",
    "head",
    "aggregate",
    "batch",
    "temperature",
    "mask",
    "pad_len",
    "window",
    "align",
    "empty_rows",
)
NAMES = {exercise.name: exercise for exercise in EXERCISES}
ANSWER = """
{task}

**{verdict}**

### {question}

{answer}

As it stood: {place}.
"""
# The pictures that go into an answer, with what is said of each.
STILLS = {
    "attn:plot:scores": "Score",
    "attn:plot:weights": "Softmax",
    "attn:plot:output": "Mix",
    "attn:plot:row": "Where “{token}” looks",
    "attn:plot:grid": "All heads",
    "attn:plot:swatches": "Paint mixing",
}


class ExercisesPage:
    """One visitor's page.

    Parameters
    ----------
    settings : Settings
        What the operator allows; prompts go through the first of its models.
    link : mapping of str to str
        What the address bar carried: the exercise and the explorer's choices.
    """

    def __init__(self, settings: Settings, link: Mapping[str, str]) -> None:
        self._settings, self._link = settings, dict(link)
        self._work = PageWork("attnpanel-exercise")
        self._traces: dict[str, Trace] = {"": toy_trace()}
        self.exercise = NAMES.get(link.get("exercise", ""), EXERCISES[0])
        self.explorer = Explorer(self._traces[""], whole_page=True, drawn_by="page")
        # The address keeps what it asked for until something is shown.
        self.explorer.interaction.writes_address = False
        if link.get("theme") in ("dark", "light"):
            self.explorer.set_dark(link["theme"] == "dark")
        self._choice = pn.widgets.Select(
            options=_labels(),
            value=self.exercise.name,
            margin=0,
            stylesheets=[stylesheet()],
            css_classes=["attn-ready"],
        )
        self._notice = _words(visible=False)
        self._task, self._hint = (_words(css="attn-question") for _ in range(2))
        self._title = _words(heading=True)
        self.verdict = _words(css="attn-verdict")
        self._question = _words(css="attn-question")
        self.answer = Explanation(
            label="Your answer",
            placeholder="In your own words. It goes into the report.",
            margin=0,
            sizing_mode="stretch_width",
            css_classes=["attn-explanation"],
        )
        self._hint_button = _button("Hint", self._show_hint)
        self._check_button = _button("Check", self._check_soon, primary=True)
        self._export = Download(
            self._make_report, label="Export my answer", filename="answer.html", margin=0
        )
        self._export.pictures = list(STILLS)
        self._theme = ThemeButton(margin=0)
        self._theme.on_msg(self._toggle_theme)
        self.view = self._lay_out()
        self._open()
        self._choice.param.watch(self._on_choice, "value")
        self.explorer.state.param.watch(
            lambda *_events: self._judge("", solved=False), list(JUDGED)
        )

    def _lay_out(self) -> Any:
        header = box(
            brand("exercises"),
            self._choice,
            CopyLink(margin=0),
            self._export,
            self._theme,
            css="attn-header",
        )
        buttons = box(self._check_button, self._hint_button, css="attn-source")
        self._elsewhere = pn.pane.HTML(
            "", margin=0, stylesheets=[stylesheet()], css_classes=["attn-elsewhere"]
        )
        writing = box(self._question, self.answer, css="attn-exercise-part")
        self._writing = box(writing, css="attn-writing")
        task = box(
            self._title,
            self._task,
            self._elsewhere,
            buttons,
            self.verdict,
            self._hint,
            css="attn-exercise-part",
        )
        card = box(task, self._writing, css="attn-card attn-exercise")
        layout = self.explorer.__panel__()
        # In a box of its own: what the stylesheet lays out as a grid can't be hidden itself.
        layout[-1] = self._pictures = box(layout[-1], css="attn-pictures")
        for plot in self.explorer.driver.figures.values():
            plot.styles = CUT
        layout.insert(1, header)
        layout.insert(2, self._notice)
        layout.insert(3, box(card, css="attn-above"))
        return layout

    # -- from one exercise to another ------------------------------------------------------

    def _on_choice(self, event: Any) -> None:
        self.exercise = NAMES[event.new]
        self._open()

    def _open(self) -> None:
        """Set the task, and show the trace that it is about."""
        exercise = self.exercise
        self._work.abandon()
        self._notice.visible = False
        self._title.text = exercise.title
        self._task.text = exercise.task
        self._question.text = exercise.question
        self._hint.text = self.verdict.text = ""
        self.answer.subject = f"exercise={exercise.name}"
        here = not exercise.elsewhere
        self._pictures.visible = self._writing.visible = here
        self._check_button.visible = self._export.visible = here
        # The table's own words: no reader's text is among them.
        self._elsewhere.object = "" if here else _link_to(exercise.elsewhere)
        self._elsewhere.visible = not here
        if exercise.prompt in self._traces:
            self._show(self._traces[exercise.prompt])
        else:
            self._read(exercise)

    def _read(self, exercise: Exercise) -> None:
        """Run the sentence in a thread; the page stays alive."""
        model, limit = self._settings.models[0], self._settings.max_tokens
        self._pictures.visible = False
        self._say("busy", "Reading the sentence …")

        def work(tell: Callable[[str], None]) -> Trace:
            from attnpanel.sources.prompts import trace_prompt

            return trace_prompt(
                exercise.prompt,
                model=model,
                max_tokens=limit,
                progress=lambda _fraction, message: tell(message),
            )

        def done(trace: Trace) -> None:
            self._traces[exercise.prompt] = trace
            self._notice.visible = False
            self._pictures.visible = True
            self._show(trace)

        self._work.start(
            work,
            done=done,
            failed=lambda text: self._say("error", f"{text} The toy's exercises need no model."),
            told=lambda text: self._say("busy", text),
        )

    def _show(self, trace: Trace) -> None:
        """Show a trace: with what the link asks for the first time, as it starts afterwards."""
        state, theme = self.explorer.state, self.explorer.address.get("theme")
        self.explorer.address = {"exercise": self.exercise.name} | (
            {"theme": theme} if theme else {}
        )
        if state.trace is not trace:
            state.trace = trace
        fresh = {name: state.param[name].default for name in ("temperature", "aggregate")}
        mask = state.param["mask"].objects[0]
        empty = "uniform" if trace.source == "toy" else "zero"
        state.choose(**{**fresh, "mask": mask, "empty_rows": empty, **self.exercise.start})
        link, self._link = self._link, {}
        problems = state.from_address(link)
        if problems:
            self._say("error", "Not restored from the link. " + " ".join(problems))
        self.explorer.interaction.writes_address = True
        self.explorer.refresh_address()

    # -- hint, check, answer ---------------------------------------------------------------

    def _show_hint(self) -> None:
        self._hint.text = f"Hint: {self.exercise.hint}"

    def _check_soon(self) -> None:
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self.check()
        else:
            document.add_timeout_callback(self.check, CHECK_WAIT_MS)

    def check(self) -> None:
        """Say whether what is shown now solves the exercise."""
        if self.exercise.check is None or not self._pictures.visible:
            return
        try:
            verdict = self.exercise.check(self.explorer.state)
        except ValueError as error:
            self._judge(f"This can't be checked: {error}.", solved=False)
            return
        self._judge(verdict.words, solved=verdict.solved)

    def _judge(self, words: str, *, solved: bool) -> None:
        self.verdict.param.update(
            text=words, css_classes=["attn-verdict", *["attn-solved"] * solved]
        )

    def _make_report(self) -> bytes | None:
        """The exercise, its check and the reader's answer, with the explorer as it is shown now."""
        self.check()
        state = self.explorer.state
        answer = ANSWER.format(
            task=self.exercise.task,
            verdict=self.verdict.text,
            question=self.exercise.question,
            answer=self.answer.text or "No answer was written.",
            place=_place(state),
        )
        token = state.query_tokens[state.query_index]
        stills = {
            STILLS[name].format(token=token): png for name, png in self._export.stills.items()
        }
        with TemporaryDirectory() as folder:
            try:
                path = save_report(
                    self.explorer,
                    Path(folder) / "answer.html",
                    title=f"Exercise: {self.exercise.title}",
                    foreword=answer,
                    stills=stills,
                )
            except (ValueError, OSError) as error:
                self._say("error", f"The answer can't be exported: {error}.")
                return None
            return path.read_bytes()

    def _say(self, tone: str, text: str) -> None:
        self._notice.param.update(text=text, tone=tone, visible=True)

    def _toggle_theme(self, _event: object) -> None:
        self.explorer.set_dark(not self.explorer.state.dark)
        self.explorer.refresh_address()


def exercises_page(settings: Settings | None = None) -> Any:
    """Return a new visitor's page, opened at what their address bar asks for.

    Parameters
    ----------
    settings : Settings, optional
        What the operator allows; MiniLM by default.
    """
    return ExercisesPage(settings or Settings(), visitor_link()).view


def _labels() -> dict[str, str]:
    return {
        f"{number} · {exercise.title}": exercise.name
        for number, exercise in enumerate(EXERCISES, start=1)
    }


def _place(state: ExplorerState) -> str:
    """Say what was shown: the choices that a verdict is about, and the token that was looked at."""
    head = "the mean of all heads" if state.aggregate else f"head {state.head}"
    return (
        f"layer {state.layer}, {head}, token {state.query_index}, "
        f"temperature {state.temperature:.3g}, mask {state.mask}"
    )


def _link_to(page: str) -> str:
    return f"<a href='./{page}'>Do it on the page “{page.capitalize()}”</a>"


def _button(label: str, act: Callable[[], None], *, primary: bool = False) -> Any:
    button = pn.widgets.Button(
        label=label,
        margin=0,
        stylesheets=[stylesheet()],
        css_classes=["attn-button", *["attn-primary"] * primary],
    )
    button.on_click(lambda _event: act())
    return button


def _words(*, css: str = "attn-words-part", **options: Any) -> Words:
    return Words(margin=0, sizing_mode="stretch_width", css_classes=[css], **options)
