"""The toy: random activations, chosen by four numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from attnpanel.models.toy import toy_trace
from attnpanel.pages.trace_sources.callbacks import widget_row
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.fields import field
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attnpanel.pages.trace_sources.callbacks import Notify, ShowTrace
    from attnpanel.trace import Trace


# T times d_model squared, the work of a toy, that takes 33 ms on one core: more runs in a thread.
MAX_IN_LOOP = 2**26


class ToySource:
    """The random toy of the notebook, chosen by four numbers."""

    name = "toy"
    _FIELDS = (("T", "T", 8, 2048), ("d_model", "d_model", 8, 1024), ("heads", "heads", 4, 64))

    def __init__(self, show: ShowTrace, notify: Notify) -> None:
        self._show, self._notify = show, notify
        self._inputs = {
            name: _number(t(label), default, 1, highest)
            for name, label, default, highest in self._FIELDS
        }
        self._inputs["seed"] = _number(t("seed"), 42, 0, 2**31 - 1)
        for widget in self._inputs.values():
            widget.param.watch(self._on_number, "value")
        self._restoring = False
        # The numbers of the toy on screen; None before the first.
        self._in_force: dict[str, int] | None = None
        self._work = LatestTask("attnpanel-toy")
        self.row = widget_row(*self._inputs.values())

    def _on_number(self, _event: object) -> None:
        if not self._restoring:
            self.open()

    def open(self) -> None:
        """Create the toy from the four numbers and show it."""
        numbers = {name: widget.value for name, widget in self._inputs.items()}
        self.abandon()
        if None in numbers.values():
            self._notify("error", t("Each of T, d_model, heads and seed must be a whole number."))
            return
        # Here too, not in the widgets alone: whatever set a number, this starts the work.
        problems = [self._problem(name, str(number)) for name, number in numbers.items()]
        if any(problems):
            self._notify("error", " ".join(filter(None, problems)))
        elif numbers["T"] * numbers["d_model"] ** 2 <= MAX_IN_LOOP:
            try:
                self._take(toy_trace(**numbers), numbers)
            except ValueError as error:
                self._on_error(f"{error}.")
        else:
            self._notify("busy", t("Drawing the numbers …"))
            self._work.start(
                lambda _on_progress: toy_trace(**numbers),
                on_done=lambda trace: self._take(trace, numbers),
                on_error=self._on_error,
                on_progress=lambda _text: None,
            )

    def _take(self, trace: Trace, numbers: dict[str, int]) -> None:
        self._in_force = numbers
        self._show(trace, {})

    def abandon(self) -> None:
        """Drop a toy that is still being made; called when another source is chosen."""
        self._work.abandon()

    def _on_error(self, problem: str) -> None:
        # The fields keep what was typed: another of them may be next, so that both fit.
        shown = ", ".join(f"{name} {number}" for name, number in (self._in_force or {}).items())
        still = f" {t('What is shown still has {numbers}.', numbers=shown)}" if shown else ""
        self._notify("error", f"{problem} {t('Choose other numbers.')}{still}")

    def address(self) -> dict[str, str]:
        """Return the query parameters that open the same toy."""
        return {name: str(widget.value) for name, widget in self._inputs.items()}

    def restore(self, texts: Mapping[str, str]) -> list[str]:
        """Set the numbers from a link's parameters; return one sentence per invalid one."""
        problems = []
        self._restoring = True
        for name, widget in self._inputs.items():
            if name not in texts:
                continue
            problem = self._problem(name, texts[name])
            if problem:
                problems.append(problem)
            else:
                widget.value = int(texts[name])
        self._restoring = False
        return problems

    def _problem(self, name: str, text: str) -> str:
        """Return what is wrong with a number's text; empty if nothing is."""
        low, high = self._inputs[name].start, self._inputs[name].end
        numeric = text.isdecimal() and len(text) <= 10  # digits of the largest seed
        if numeric and low <= int(text) <= high:
            return ""
        return t(
            "{name} must be a whole number from {low} to {high}; got “{text}”.",
            name=name,
            low=low,
            high=high,
            text=text[:40],
        )


def _number(label: str, default: int, low: int, high: int) -> Any:
    return field(
        pn.widgets.IntInput,
        label,
        value=default,
        start=low,
        end=high,
        width=130,
        css=["attn-number"],
    )
