"""The form that starts a training run; its settings are checked first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import panel as pn

from attnpanel.pages.lab.components import TickBox, box, styles
from attnpanel.training.settings import TrainingSettings
from attnpanel.training.tasks import TASKS
from attnpanel.training.training_text import read_text
from attnpanel.ui import Caption, Upload
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

FIELDS: Final = {
    "layers": "Layers",
    "heads": "Heads a layer",
    "d_model": "d_model",
    "steps": "Steps",
    "batch": "Batch",
    "seed": "Seed",
}
MAX_BYTES: Final = 4_000_000
DEFAULT_TEXT: Final = "Alice in Wonderland, its opening"


class Form:
    """The settings of the next run.

    Parameters
    ----------
    start : callable
        Called with the TrainingSettings and a text or None; its ValueError or OSError is shown.
    """

    def __init__(self, start: Callable[[TrainingSettings, str | None], None]) -> None:
        self._start = start
        self._text: str | None = None
        first = TrainingSettings()
        self.task = pn.widgets.Select(
            label=t("Task"),
            options={t(task.title): task.name for task in TASKS},
            value=first.task,
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=styles(),
            css_classes=["lab-field", "lab-task"],
        )
        self._teaches = Caption(tone="muted", margin=0, sizing_mode="stretch_width")
        self._upload = Upload(
            accept=".txt,.md,text/plain",
            prompt=t("Choose or drop a text of your own"),
            kind="text",
            max_bytes=MAX_BYTES,
            sizing_mode="stretch_width",
            margin=0,
        )
        self._upload.on_msg(self._on_file)
        self._chosen = Caption(tone="muted", text=t("Text: {name}", name=t(DEFAULT_TEXT)), margin=0)
        self._text_part = box(self._upload, self._chosen, css="lab-text", visible=False)
        self.numbers = {name: _number(name, t(label), first) for name, label in FIELDS.items()}
        self.rate = pn.widgets.FloatInput(
            label=t("Learning rate"),
            value=first.learning_rate,
            step=1e-4,
            format="0.[000000]",
            margin=0,
            stylesheets=styles(),
            css_classes=["lab-field", "lab-learning_rate"],
        )
        self.attends = TickBox(
            label=t("Attention (untick for the baseline)"),
            value=True,
            margin=0,
            css_classes=["lab-attends"],
        )
        self.button = pn.widgets.Button(
            label=t("Start"),
            margin=0,
            stylesheets=styles(),
            css_classes=["attn-button", "attn-primary", "lab-start"],
        )
        self.problem = Caption(
            tone="error",
            visible=False,
            margin=0,
            sizing_mode="stretch_width",
            stylesheets=styles(),
            css_classes=["lab-problem"],
        )
        self.button.on_click(lambda _event: self.start())
        self.task.param.watch(lambda _event: self._show_task(), "value")
        for field in (self.task, *self.numbers.values(), self.rate, self.attends):
            field.param.watch(lambda _event: self._hide_problem(), "value")
        self._show_task()
        self.view = box(
            Caption(
                text=t("A run"),
                subtitle=t("a tiny decoder-only transformer"),
                heading=True,
                margin=0,
            ),
            self.task,
            self._teaches,
            self._text_part,
            box(*self.numbers.values(), self.rate, css="lab-fields"),
            self.attends,
            box(self.button, css="lab-row"),
            self.problem,
            css="attn-card lab-form",
        )

    def start(self) -> None:
        """Start a run with the form's settings, or show what is wrong with them."""
        self.problem.visible = False
        values = {name: widget.value for name, widget in self.numbers.items()}
        missing = [t(FIELDS[name]) for name, value in values.items() if value is None]
        if self.rate.value is None:
            missing.append(t("Learning rate"))
        if missing:
            self.say(t("{names}: a number is missing.", names=", ".join(missing)))
            return
        try:
            settings = TrainingSettings(
                task=self.task.value,
                learning_rate=self.rate.value,
                attends=bool(self.attends.value),
                **values,
            )
            self._start(settings, self._text if settings.task == "text" else None)
        except (ValueError, OSError) as error:
            self.say(t("Not started: {reason}.", reason=error))

    def say(self, text: str) -> None:
        """Show a problem below the button."""
        self.problem.param.update(text=text, visible=True)

    def _hide_problem(self) -> None:
        """Hide the problem, which may not apply to the changed settings."""
        self.problem.visible = False

    def _show_task(self) -> None:
        task = next(task for task in TASKS if task.name == self.task.value)
        self._teaches.text = t(task.description)
        self._text_part.visible = task.name == "text"

    def _on_file(self, event: Any) -> None:
        """Take a text file; an unusable one is refused, and the previous text stays."""
        message = event.data
        if not isinstance(message, dict):
            return
        self.problem.visible = False
        if "refused" in message:
            self.say(f"{str(message['refused'])[:300]}.")
            return
        chunk, name = message.get("chunk"), str(message.get("name", "the file"))[:80]
        if not isinstance(chunk, bytes) or len(chunk) != message.get("size"):
            self.say(t("The upload was interrupted. Choose the file again."))
            return
        try:
            self._text = read_text(chunk)
        except ValueError as error:
            self.say(t("{name} can't be learned: {reason}.", name=name, reason=error))
        else:
            count = f"{len(self._text):,}"
            self._chosen.text = t("Text: {name}, {count} characters", name=name, count=count)


def _number(name: str, label: str, first: TrainingSettings) -> Any:
    # Without bounds: Bokeh shows a number outside them but does not send it, so a run would start
    # with the previous number. TrainingSettings checks the numbers instead.
    return pn.widgets.IntInput(
        label=label,
        value=getattr(first, name),
        margin=0,
        stylesheets=styles(),
        css_classes=["lab-field", f"lab-{name}"],
    )
