"""The lab's served page: start trainings, and watch the runs that all sessions share."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import panel as pn

from attnpanel.pages.lab.components import (
    LabAddress,
    LabTheme,
    RunList,
    TrainingReplay,
    Visitor,
    box,
    styles,
)
from attnpanel.pages.lab.curves import CHARTS, CurvePlot
from attnpanel.pages.lab.drawn_runs import DrawnRuns
from attnpanel.pages.lab.form import Form
from attnpanel.pages.lab.link import LabLink, link_choices
from attnpanel.pages.lab.report import MAX_NOTE_CHARACTERS, write_training_report
from attnpanel.pages.lab.run_summary import (
    capitalised,
    kept_weights,
    replay_info,
    run_name,
    run_row,
)
from attnpanel.ui import Caption, CopyLink, Download, ThemeButton
from attnpanel.ui.deferred_file import DeferredFile
from attnpanel.ui.header import brand
from attnpanel.ui.theme import theme_variables
from attnpanel.ui.words import current_language, t

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.training.launcher import Trainings
    from attnpanel.training.records import Run
    from attnpanel.training.settings import TrainingSettings

T = TypeVar("T")
SHARED: Final = "kept for all visitors"
OWN_ONLY: Final = "kept for all to see; only who started a run can change it"
NO_CURVES: Final = (
    "Loss, accuracy and the weight on the answer are drawn here, step by step: "
    "start a run, or tick one in the list."
)
VIEWING: Final = ("show", "follow")
NO_REPLAY: Final = (
    "The attention of one example is shown here at every step of its training: a picture of each "
    "head, from random to trained, and the step at which a head forms."
)


class LabPage:
    """The lab's page of one session.

    Parameters
    ----------
    trainings : Trainings
        The server's trainings; its store is shared by all sessions.
    link : LabLink, optional
        What is shown first; by default the newest run.
    shared : bool, optional
        Whether visitors may pause, stop, rename and delete each other's runs.
    """

    def __init__(
        self, trainings: Trainings, link: LabLink | None = None, *, shared: bool = True
    ) -> None:
        self._trainings, self.store = trainings, trainings.store
        self._runs: dict[int, Run] = {}
        self._drawn = DrawnRuns(trainings.store)
        self._followed: int | None = None
        self._link = link or LabLink()
        self._wanted = self._link.run
        # The run whose frames the page asked for, and the last step that was sent.
        self._requested: int | None = None
        self._sent_step = -1
        # Of which run, in which state, the steps with weights were read.
        self._kept_of: tuple[int, str] | None = None
        self._drawn_state: tuple[Any, ...] = ()
        self._problem = ""
        self._opened = False
        self.explorer_id = uuid.uuid4().hex
        self.form = Form(self._start)
        self._shared = shared
        self.visitor = Visitor(width=0, height=0, margin=0)
        self.visitor.param.watch(lambda _event: self.refresh(), "key")
        self.list = RunList(sizing_mode="stretch_width", margin=0)
        self.list.on_msg(self._on_list)
        self.replay = TrainingReplay(
            about={"empty": t(NO_REPLAY)}, linked={}, sizing_mode="stretch_width", margin=0
        )
        self.address = LabAddress(width=0, height=0, margin=0)
        self.replay.on_msg(self._on_replay)
        self.plots = {chart.name: CurvePlot(chart) for chart in CHARTS}
        self.notice = Caption(tone="error", visible=False, margin=0, sizing_mode="stretch_width")
        self._about = _words(t("Attention while it learns"), "", heading=True)
        self._model = _in_words(
            self._make_model, t("The trained model"), filename="model.safetensors"
        )
        self._trace = _in_words(
            self._make_trace, t("This step as a trace"), filename="attention.safetensors"
        )
        self.replay.param.watch(self._on_step, "step")
        self._report = Download(
            self._make_report, label=t("Download report"), filename="training.html", margin=0
        )
        self.notes = pn.widgets.TextAreaInput(
            label=t("Your notes for the report"),
            placeholder=t("Which of the runs learns first, and what does its head do?"),
            max_length=MAX_NOTE_CHARACTERS,
            rows=4,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=styles(),
            css_classes=["lab-field", "lab-notes-field"],
        )
        self._no_curves = Caption(
            tone="muted", text=t(NO_CURVES), margin=0, sizing_mode="stretch_width"
        )
        self._charts = self._lay_out_charts()
        self.view = self._lay_out()
        self.refresh()

    def _lay_out_charts(self) -> Any:
        charts = [
            box(
                _words(t(chart.title), t(chart.subtitle), heading=True),
                self.plots[chart.name].pane,
                css="lab-chart",
            )
            for chart in CHARTS
        ]
        # In a box of its own: an element with `display: grid` stays visible when Panel hides it.
        return box(box(*charts, css="lab-charts"), css="lab-drawn", visible=False)

    def _lay_out(self) -> Any:
        header = box(
            brand("lab", alone="attnpanel lab"),
            box(css="attn-slot"),
            CopyLink(margin=0),
            self._report,
            ThemeButton(explorer_id=self.explorer_id, driver="browser", margin=0),
            css="attn-header",
        )
        self._body = box(
            box(
                self.form.view,
                box(
                    _words(t("Runs"), t(SHARED if self._shared else OWN_ONLY), heading=True),
                    self.list,
                    css="attn-card",
                ),
                css="lab-side",
            ),
            box(
                box(self._no_curves, self._charts, css="attn-card lab-curves"),
                box(
                    self._about,
                    self.replay,
                    box(self._trace, self._model, css="lab-row"),
                    css="attn-card",
                ),
                box(self.notes, css="attn-card"),
                css="lab-main",
            ),
            css="lab-body",
        )
        view = box(
            LabTheme(explorer_id=self.explorer_id, width=0, height=0, margin=0),
            self.visitor,
            self.address,
            header,
            self.notice,
            self._body,
            css=f"attn-root attn-{self.explorer_id} attn-light",
        )
        view.stylesheets = [theme_variables(), *styles()]
        return view

    def _start(self, settings: TrainingSettings, text: str | None) -> None:
        number = self._trainings.start(settings, text=text, owner=self.visitor.owner)
        self._drawn.show(number)
        self._wanted = number
        pn.state.execute(self.refresh, schedule=True)

    def _on_list(self, event: Any) -> None:
        """Act on a button of the list; the message is untrusted, and the run may have ended."""
        message = event.data
        number = message.get("run") if isinstance(message, dict) else None
        if type(number) is not int or number not in self._runs:
            return
        action = str(message.get("do"))
        if action not in VIEWING and not self._may_change(self._runs[number]):
            return
        actions: dict[str, Callable[[], object]] = {
            "show": lambda: (
                self._drawn.show(number) if message.get("on") else self._drawn.hide(number)
            ),
            "follow": lambda: self._choose_followed(number),
            "pause": lambda: self.store.request(number, "pause"),
            "train": lambda: self.store.request(number, "train"),
            "stop": lambda: self.store.request(number, "stop"),
            "rename": lambda: self.store.rename(number, str(message.get("name", ""))),
            "delete": lambda: self.store.delete(number),
        }
        self._attempt(actions.get(action, lambda: None))
        # Panel may run this handler without the document's lock; a scheduled callback holds it.
        pn.state.execute(self.refresh, schedule=True)

    def _may_change(self, run: Run) -> bool:
        """Whether this visitor may change a run."""
        return self._shared or (bool(run.owner) and run.owner == self.visitor.owner)

    def _choose_followed(self, number: int) -> None:
        self._wanted = number
        self._drawn.show(number)

    def _attempt(self, action: Callable[[], T]) -> T | None:
        """Return the action's result; None, with its message on the page, if it fails."""
        try:
            result = action()
        except (ValueError, OSError) as error:
            self._say(f"{capitalised(str(error))}.")
            return None
        self.notice.visible = False
        return result

    def refresh(self) -> None:
        """Show the store's current content, or why it cannot be read."""
        problem = ""
        try:
            self._trainings.collect_finished()
            self._read()
        except (ValueError, OSError) as error:
            problem = f"{capitalised(str(error))}."
        if problem or self._problem:
            self._problem = problem
            self.notice.param.update(text=problem, visible=bool(problem))

    def _read(self) -> None:
        runs = {run.id: run for run in self.store.runs()}
        if not self._opened:
            self._open(runs)
        self._runs = runs
        self._drawn.keep_only(runs)
        new_points = [self._drawn.read_points(number) for number in self._drawn.colours]
        for run in runs.values():
            if run.ended:
                self._drawn.read_points_once(run.id)  # its row shows the last accuracy
        self._follow(runs)
        if any(new_points) or self._drawing != self._drawn_state:
            self._drawn_state = ()  # if drawing fails, the next refresh tries again
            self._draw_curves()
            self._drawn_state = self._drawing
        rows = [self._row(run) for run in runs.values()]
        if rows != self.list.runs:
            self.list.runs = rows
        self.address.choices = link_choices(runs, self._followed, self._drawn.colours)

    def _open(self, runs: dict[int, Run]) -> None:
        """Show what the link asks for, or the newest runs, once there are any."""
        problem = self._link.problem(runs)
        if problem:
            self._say(problem)
            self._link, self._wanted = LabLink(), None
        if not runs:
            return
        self._opened = True
        if self._link.run is not None:
            self._body.css_classes = ["lab-body", "lab-linked"]
        self.replay.linked = {"run": str(self._wanted), **(self._link.view or {})}
        newest = (*list(runs)[:3][::-1], self._wanted)
        for number in newest if self._link.drawn is None else self._link.drawn:
            if number in runs:
                self._drawn.show(number)

    @property
    def _drawing(self) -> tuple[Any, ...]:
        """What the curves depend on apart from their points."""
        colours = self._drawn.colours
        names = tuple(self._runs[number].name for number in colours)
        return (tuple(colours.items()), names, self._followed)

    def _follow(self, runs: dict[int, Run]) -> None:
        """Show the attention of the chosen run: all of another run, new frames of the same one."""
        number = self._wanted if self._wanted in runs else next(iter(runs), None)
        if number != self._followed:
            self._followed, self._sent_step = number, -1
            if number is None:
                self.replay.about = {"empty": t(NO_REPLAY)}
            else:
                self._drawn.forget_answers(number)
                self.replay.about = replay_info(runs[number], self.store.text(number))
        else:
            self._send_frames()
        if number is not None:
            self._show_kept_weights(runs[number])
        self._about.subtitle = "" if number is None else run_name(runs[number])
        self._model.visible = number is not None and runs[number].state in ("done", "stopped")

    def _show_kept_weights(self, run: Run) -> None:
        """Tell the replay at which steps weights are kept; those of an ended run stay the same."""
        if run.ended and self._kept_of == (run.id, run.state):
            return
        self.replay.kept = kept_weights(self.store, run)
        self._kept_of = (run.id, run.state)

    def _on_replay(self, event: Any) -> None:
        """Send every frame of the run that the page has begun to show, or its weights."""
        message, number = event.data, self._followed
        if not isinstance(message, dict) or number is None:
            return
        if message.get("frames_request") == number:
            self._sent_step = -1
            self._requested = number
            pn.state.execute(self.refresh, schedule=True)  # sends them
        elif message.get("weights_request") == number:
            self._send_weights(number, message.get("weights_step"))

    def _send_weights(self, number: int, step: Any) -> None:
        if step not in self.replay.kept.get("steps", []):
            return
        try:
            self.replay.send_weights(number, self.store.checkpoint(number, step))
        except (ValueError, OSError) as error:
            self.replay.refuse_weights(number, step, str(error))

    def _send_frames(self) -> None:
        if self._followed is None or self._requested != self._followed:
            return
        new = self.store.keyframes(self._followed, self._sent_step)
        for index, keyframe in enumerate(new):
            self._sent_step = keyframe.step
            self.replay.send_frame(self._followed, keyframe, more=index < len(new) - 1)

    def _on_step(self, event: Any) -> None:
        """Offer the shown step as a trace; without a frame the step is -1."""
        self._trace.visible = event.new >= 0

    def _draw_curves(self) -> None:
        runs = [self._runs[number] for number in sorted(self._drawn.colours)]
        steps = max((run.settings.steps for run in runs), default=1)
        self._charts.visible, self._no_curves.visible = bool(runs), not runs
        for name, plot in self.plots.items():
            plot.write([self._drawn.curve(run, name, self._followed) for run in runs], steps)

    def _row(self, run: Run) -> dict[str, Any]:
        last, colour = self._drawn.last_point(run.id), self._drawn.colours.get(run.id, "")
        followed, may_change = run.id == self._followed, self._may_change(run)
        return run_row(run, last, colour, followed=followed, may_change=may_change)

    def _make_trace(self) -> bytes | None:
        """Return the trace of the shown step; None, with a message, if there is none."""
        number, step = self._followed, self.replay.step
        if number is None:
            return None
        return self._attempt(lambda: self.store.trace_bytes(number, step))

    def _make_model(self) -> bytes | None:
        """Return the final weights of the shown run; None, with a message, if there are none."""
        number = self._followed
        return None if number is None else self._attempt(lambda: self.store.model_bytes(number))

    def _make_report(self) -> DeferredFile | None:
        """Return the drawn runs and the notes as one HTML file; None, with a message, if none."""
        colours = self._drawn.colours
        if not colours:
            self._say(t("A report shows the runs whose curves are drawn; tick one first."))
            return None
        write = partial(
            write_training_report,
            self.store,
            list(colours),
            str(self.notes.value_input or self.notes.value or ""),
            self._followed,
            dict(colours),
            current_language(),
        )
        return DeferredFile(
            write, lambda reason: self._say(t("The report can't be made. {reason}", reason=reason))
        )

    def _say(self, text: str) -> None:
        self.notice.param.update(text=text, visible=True)


def _in_words(make: Callable[[], Any], label: str, *, filename: str) -> Download:
    css = ["attn-in-words"]
    return Download(make, label=label, filename=filename, visible=False, margin=0, css_classes=css)


def _words(text: str, subtitle: str, **options: Any) -> Any:
    return Caption(text=text, subtitle=subtitle, margin=0, sizing_mode="stretch_width", **options)
