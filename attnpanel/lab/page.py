"""The served page of the lab: a visitor's choice among the runs that all share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.browser import Download, ThemeButton, Words
from attnpanel.lab.components import Film, LabLook, RunList, Visitor, box, styles
from attnpanel.lab.curves import CHARTS, COLOURS, Curve, CurvePicture
from attnpanel.lab.form import Form
from attnpanel.lab.report import MOST_NOTES, render_training_report
from attnpanel.lab.shown import (
    best_answers,
    film_about,
    make_curve,
    point_values,
    run_name,
    run_words,
)
from attnpanel.navigation import brand
from attnpanel.theme import BODY_CSS, look_variables
from attnpanel.training.starting import Trainings
from attnpanel.training.store import RunStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.choosers import Settings
    from attnpanel.training.run import Point, Run
    from attnpanel.training.settings import TrainingSettings

POLL_MS: Final = 500
CAN: Final = {
    "waiting": ["stop", "rename"],
    "training": ["pause", "stop", "rename"],
    "paused": ["train", "stop", "rename"],
}
KEPT: Final = "kept for all visitors"
OWN_ONLY: Final = "kept for all to see; who starts one changes it"
NO_CURVES: Final = (
    "Loss, accuracy and the weight on the answer are drawn here, step by step: "
    "start a run, or tick one in the list."
)
LOOKING: Final = ("show", "follow")
NO_FILM: Final = (
    "The attention of one example is shown here at every step of its training: a picture of each "
    "head, from random to trained, and the step at which a head forms."
)


class LabPage:
    """One visitor's page.

    Parameters
    ----------
    trainings : Trainings
        Those of the server, and the store that all share.
    follow : int, optional
        The run whose attention is shown first; by default the newest.
    shared : bool, optional
        Whether visitors may pause, stop, rename and delete one another's runs, too.
    """

    def __init__(
        self, trainings: Trainings, follow: int | None = None, *, shared: bool = True
    ) -> None:
        self._trainings, self.store = trainings, trainings.store
        self._runs: dict[int, Run] = {}
        self._points: dict[int, list[Point]] = {}
        self._answers: dict[int, dict[int, float]] = {}
        # The colours of the drawn runs, and of all that were drawn: a run keeps its own.
        self._colours: dict[int, str] = {}
        self._had: dict[int, str] = {}
        self._followed: int | None = None
        self._wanted = follow
        # The run whose pictures the page asked for, and the last step it was handed.
        self._asked: int | None = None
        self._sent = -1
        self._drawn: tuple[Any, ...] = ()
        self._said = ""
        self._opened = False
        self.uid = uuid.uuid4().hex
        self.form = Form(self._start)
        self._shared = shared
        self.visitor = Visitor(width=0, height=0, margin=0)
        self.visitor.param.watch(lambda _event: self.refresh(), "key")
        self.list = RunList(sizing_mode="stretch_width", margin=0)
        self.list.on_msg(self._on_list)
        self.film = Film(about={"empty": NO_FILM}, sizing_mode="stretch_width", margin=0)
        self.film.on_msg(self._on_film)
        self.pictures = {chart.name: CurvePicture(chart) for chart in CHARTS}
        self.notice = Words(tone="error", visible=False, margin=0, sizing_mode="stretch_width")
        self._about = _words("Attention while it learns", "", heading=True)
        self._model = Download(
            self._make_model,
            label="The trained model",
            filename="model.safetensors",
            visible=False,
            margin=0,
        )
        self._trace = Download(
            self._make_trace,
            label="This step as a trace",
            filename="attention.safetensors",
            visible=False,
            margin=0,
        )
        self.film.param.watch(self._offer_trace, "step")
        self._report = Download(
            self._make_report, label="Download report", filename="training.html", margin=0
        )
        self.notes = pn.widgets.TextAreaInput(
            label="What you see, in your words: it goes into the report",
            placeholder="Which of the runs learns first, and what does its head do?",
            max_length=MOST_NOTES,
            rows=4,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=styles(),
            css_classes=["lab-field", "lab-notes-field"],
        )
        self._no_curves = Words(tone="muted", text=NO_CURVES, margin=0, sizing_mode="stretch_width")
        self._charts = self._lay_out_charts()
        self.view = self._lay_out()
        self.refresh()

    def _lay_out_charts(self) -> Any:
        charts = [
            box(
                _words(chart.title, chart.aside, heading=True),
                self.pictures[chart.name].pane,
                css="lab-chart",
            )
            for chart in CHARTS
        ]
        # Around the grid, whose style would show it whether visible or not.
        return box(box(*charts, css="lab-charts"), css="lab-drawn", visible=False)

    def _lay_out(self) -> Any:
        header = box(
            brand("lab", alone="attnpanel lab"),
            box(css="attn-slot"),
            self._report,
            ThemeButton(uid=self.uid, driver="browser", margin=0),
            css="attn-header",
        )
        body = box(
            box(
                self.form.view,
                box(
                    _words("Runs", KEPT if self._shared else OWN_ONLY, heading=True),
                    self.list,
                    css="attn-card",
                ),
                css="lab-side",
            ),
            box(
                box(self._no_curves, self._charts, css="attn-card lab-curves"),
                box(
                    self._about,
                    self.film,
                    box(self._trace, self._model, css="lab-row"),
                    css="attn-card",
                ),
                box(self.notes, css="attn-card"),
                css="lab-main",
            ),
            css="lab-body",
        )
        look = LabLook(uid=self.uid, width=0, height=0, margin=0)
        view = box(
            look,
            self.visitor,
            header,
            self.notice,
            body,
            css=f"attn-root attn-{self.uid} attn-light",
        )
        view.stylesheets = [look_variables(), *styles()]
        return view

    # -- what the reader does ------------------------------------------------------------------

    def _start(self, settings: TrainingSettings, text: str | None) -> None:
        number = self._trainings.start(settings, text=text, owner=self.visitor.owner)
        self._show(number)
        self._wanted = number
        pn.state.execute(self.refresh, schedule=True)

    def _show(self, number: int) -> None:
        """Draw a run's curves in a colour of its own, the one it had before if that is free."""
        if number in self._colours:
            return
        if len(self._colours) == len(COLOURS):
            self._colours.pop(min(self._colours))
        first = (number - 1) % len(COLOURS)
        wished = (self._had.get(number), *COLOURS[first:], *COLOURS[:first])
        taken = self._colours.values()
        colour = next(colour for colour in wished if colour and colour not in taken)
        self._colours[number] = self._had[number] = colour

    def _on_list(self, event: Any) -> None:
        """Act on a press; a page can send anything, and another may have been quicker."""
        message = event.data
        number = message.get("run") if isinstance(message, dict) else None
        if type(number) is not int or number not in self._runs:
            return
        what = str(message.get("do"))
        if what not in LOOKING and not self._may_change(self._runs[number]):
            return
        actions: dict[str, Callable[[], object]] = {
            "show": lambda: (
                self._show(number) if message.get("on") else self._colours.pop(number, 0)
            ),
            "follow": lambda: self._choose(number),
            "pause": lambda: self.store.ask(number, "pause"),
            "train": lambda: self.store.ask(number, "train"),
            "stop": lambda: self.store.ask(number, "stop"),
            "rename": lambda: self.store.rename(number, str(message.get("name", ""))),
            "delete": lambda: self.store.delete(number),
        }
        self._try(actions.get(what, lambda: None))
        # Panel may run this without the document's lock; what is scheduled has it.
        pn.state.execute(self.refresh, schedule=True)

    def _may_change(self, run: Run) -> bool:
        """Whether this visitor may do more with a run than look at it."""
        return self._shared or (bool(run.owner) and run.owner == self.visitor.owner)

    def _choose(self, number: int) -> None:
        self._wanted = number
        self._show(number)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            self.notice.param.update(text=f"{_upper(str(error))}.", visible=True)
        else:
            self.notice.visible = False

    # -- keeping it in step --------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what stands in the store now; say what is wrong with it for as long as it is."""
        said = ""
        try:
            self._trainings.look_after()
            self._read()
        except (ValueError, OSError) as error:
            said = f"{_upper(str(error))}."
        if said or self._said:
            self._said = said
            self.notice.param.update(text=said, visible=bool(said))

    def _read(self) -> None:
        runs = {run.id: run for run in self.store.runs()}
        if not self._opened and runs:
            self._opened = True
            for number in list(runs)[:3][::-1]:
                self._show(number)
            if self._wanted in runs:
                self._show(self._wanted)
        self._runs = runs
        for gone in set(self._colours) - set(runs):
            del self._colours[gone]
        drawn = {number: self._news_of(number) for number in self._colours}
        for run in runs.values():
            if run.ended and run.id not in self._points:
                self._news_of(run.id)  # once, for the accuracy that its row tells
        self._follow(runs)
        if any(drawn.values()) or self._drawing != self._drawn:
            self._drawn = ()  # until all are drawn: what fails is drawn at the next look
            self._draw_curves()
            self._drawn = self._drawing
        rows = [self._row(run) for run in runs.values()]
        if rows != self.list.runs:
            self.list.runs = rows

    @property
    def _drawing(self) -> tuple[Any, ...]:
        """What the curves depend on besides their points."""
        names = tuple(self._runs[number].name for number in self._colours)
        return (tuple(self._colours.items()), names, self._followed)

    def _news_of(self, number: int) -> bool:
        """Read a drawn run's new points; return whether there are any."""
        points = self._points.setdefault(number, [])
        new = self.store.points(number, points[-1].step if points else -1)
        points += new
        return bool(new)

    def _follow(self, runs: dict[int, Run]) -> None:
        """Show the attention of the run that is wanted, and what is new of it."""
        number = self._wanted if self._wanted in runs else next(iter(runs), None)
        if number != self._followed:
            self._followed, self._sent = number, -1
            run = None if number is None else runs[number]
            self._answers = {} if run is None else {**self._answers, run.id: {}}
            self.film.about = (
                {"empty": NO_FILM} if run is None else film_about(run, self.store.text(run.id))
            )
        else:
            self._send_pictures()
        self._about.aside = "" if number is None else run_name(runs[number])
        self._model.visible = number is not None and runs[number].state in ("done", "stopped")

    def _on_film(self, event: Any) -> None:
        """Hand the page every picture of the run it has begun to show."""
        if isinstance(event.data, dict) and event.data.get("need") == self._followed:
            self._sent = -1
            self._asked = self._followed
            self._try(self._send_pictures)

    def _send_pictures(self) -> None:
        if self._followed is None or self._asked != self._followed:
            return
        new = self.store.pictures(self._followed, self._sent)
        for place, picture in enumerate(new):
            self._sent = picture.step
            self.film.hand(self._followed, picture, more=place < len(new) - 1)

    def _offer_trace(self, event: Any) -> None:
        """Offer the step that is shown as a trace; a page without a picture shows step -1."""
        self._trace.visible = event.new >= 0

    def _draw_curves(self) -> None:
        runs = [self._runs[number] for number in sorted(self._colours)]
        steps = max((run.settings.steps for run in runs), default=1)
        self._charts.visible, self._no_curves.visible = bool(runs), not runs
        for name, picture in self.pictures.items():
            picture.write([self._curve(run, name) for run in runs], steps)

    def _curve(self, run: Run, chart: str) -> Curve:
        if chart == "answer":
            values = self._best_answers(run)
        else:
            values = point_values(self._points[run.id], chart)
        return make_curve(run, values, self._colours, self._followed)

    def _best_answers(self, run: Run) -> dict[int, float]:
        known = self._answers.setdefault(run.id, {})
        known |= best_answers(self.store.answers(run.id, max(known, default=-1)))
        return known

    def _row(self, run: Run) -> dict[str, Any]:
        points = self._points.get(run.id)
        can = CAN.get(run.state, ["rename", "delete"]) if self._may_change(run) else []
        return {
            "id": run.id,
            "name": run.name,
            "words": run_words(run, points[-1] if points else None),
            "failed": run.state in ("failed", "lost"),
            "progress": None if run.ended else round(run.step / run.settings.steps, 3),
            "shown": run.id in self._colours,
            "colour": self._colours.get(run.id, ""),
            "dashed": not run.settings.attends,
            "followed": run.id == self._followed,
            "can": can,
        }

    def _make_trace(self) -> bytes | None:
        """Return the trace of the step that is shown, or say why there is none."""
        made: list[bytes] = []
        if self._followed is not None:
            number, step = self._followed, self.film.step
            self._try(lambda: made.append(self.store.trace_bytes(number, step)))
        return made[0] if made else None

    def _make_model(self) -> bytes | None:
        """Return the weights that the shown run ended with, or say why there are none."""
        made: list[bytes] = []
        if (number := self._followed) is not None:
            self._try(lambda: made.append(self.store.model_bytes(number)))
        return made[0] if made else None

    def _make_report(self) -> bytes | None:
        """Return the drawn runs and the notes as one offline file, or say why there is none."""
        made: list[str] = []
        numbers, notes = list(self._colours), str(self.notes.value_input or self.notes.value or "")
        if not numbers:
            self._try(self._nothing_drawn)
            return None
        self._try(
            lambda: made.extend(
                render_training_report(
                    self.store, numbers, None, notes, self._followed, self._colours
                )
            )
        )
        return "".join(made).encode("utf-8") if made else None

    def _nothing_drawn(self) -> None:
        raise ValueError("A report shows the runs whose curves are drawn; tick one first")


def _words(text: str, aside: str, **options: Any) -> Any:
    return Words(text=text, aside=aside, margin=0, sizing_mode="stretch_width", **options)


def lab_page(settings: Settings) -> Any:
    """Return a new visitor's page of the lab."""
    pn.extension()
    if BODY_CSS not in pn.config.raw_css:
        pn.config.raw_css = [*pn.config.raw_css, BODY_CSS]
    try:
        trainings = _trainings(settings)
    except (ValueError, OSError) as error:
        return _no_store(str(error))
    asked = (pn.state.session_args or {}).get("run", [b""])[0]
    follow = int(asked) if asked.isdigit() and len(asked) < 10 else None
    page = LabPage(trainings, follow, shared=settings.shared_runs)
    pn.state.add_periodic_callback(page.refresh, period=POLL_MS)
    return page.view


def _trainings(settings: Settings) -> Trainings:
    """Return the server's trainings: one for all its visitors."""
    kept: Trainings | None = pn.state.cache.get("attnpanel.trainings")
    if kept is None:
        kept = Trainings(RunStore(settings.runs), most=settings.max_trainings)
        pn.state.cache["attnpanel.trainings"] = kept
    return kept


def _no_store(problem: str) -> Any:
    uid = uuid.uuid4().hex
    view = box(
        LabLook(uid=uid, width=0, height=0, margin=0),
        box(brand("lab", alone="attnpanel lab"), css="attn-header"),
        Words(
            tone="error",
            text=f"{_upper(problem)}. Name another file: attnpanel serve --runs FILE.",
            margin=0,
        ),
        css=f"attn-root attn-{uid} attn-light",
    )
    view.stylesheets = [look_variables(), *styles()]
    return view


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".")
