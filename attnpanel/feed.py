"""Feed: Python's end of the browser driver on a served page.

The page computes and draws; Python hands it layers and paints as it asks for them, follows the
state it tells, and tells it what is set from Python.
"""

from __future__ import annotations

import math
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from attnpanel.browser.browser_driver import BrowserDriver
from attnpanel.payload import describe, make_projections, pack_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.state import ExplorerState
    from attnpanel.trace import Trace

# Beyond these Python draws: a matrix of so many cells, or a layer of so many bytes, is more than
# a page should hold.
MOST_CELLS = 2**24
MOST_BYTES = 64_000_000
# Choices made by buttons, whose order the page needs.
BUTTONS = ("mask", "align", "empty_rows", "weight_scale")
_SERIAL = count(1)


def fits(trace: Trace) -> bool:
    """Whether every layer of a trace is small enough for the page to compute from."""
    return all(
        call.query_len * call.key_len <= MOST_CELLS
        and sum(
            array.nbytes
            for array in (call.query, call.key, call.value, call.recorded_weights)
            if array is not None
        )
        <= MOST_BYTES
        for call in trace.calls
    )


def settings(state: ExplorerState) -> dict[str, Any]:
    """What the browser driver needs to know of the state's parameters: options, labels, docs."""
    parameters = state.param.objects()
    return {
        "state": choices_of(state),
        "choices": {name: list(parameters[name].objects) for name in BUTTONS},
        "docs": {name: [str(one.label), str(one.doc)] for name, one in parameters.items()},
    }


def choices_of(state: ExplorerState) -> dict[str, Any]:
    """Every choice of a state, by name, as plain data."""
    return {name: getattr(state, name) for name in state.param if name not in ("trace", "name")}


class Feed:
    """Keeps the page's browser driver and the state in step.

    Parameters
    ----------
    state : ExplorerState
    uid : str
        Names the explorer's events on the page.
    told : callable
        Called with the address text when the page has told its state.
    failed : callable
        Called with a sentence when the page can't show something.
    """

    def __init__(
        self,
        state: ExplorerState,
        uid: str,
        *,
        told: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:
        self.state = state
        self.following = False
        self._told, self._failed = told, failed
        self._push = 0
        self._trace: Trace | None = None
        self._paints: set[int] = set()
        self.component = BrowserDriver(
            uid=uid,
            served=True,
            width=0,
            height=0,
            margin=0,
            css_classes=["attn-driver"],
            **settings(state),
        )
        self.component.on_msg(self._on_message)
        self.push()

    def push(self) -> None:
        """Tell the page the state as it is now, with its trace where that is another one."""
        state, component = self.state, self.component
        changes: dict[str, Any] = {}
        if self._trace is not state.trace:
            self._trace = state.trace
            self._paints = {state.color_seed}
            meta = describe(state.trace, color_seed=state.color_seed)
            changes["meta"] = meta | {"trace": next(_SERIAL)}
            changes["choices"] = settings(state)["choices"]
        self._push += 1
        serial = changes.get("meta", component.meta)["trace"]
        chosen = choices_of(state) | {"trace": serial, "push": self._push}
        component.param.update(**changes, state=chosen)
        self._hand_paint()

    def _on_message(self, event: Any) -> None:
        """Act on what the page says; anything unexpected in it is ignored."""
        message = event.data
        if not isinstance(message, dict):
            return
        # A page can send anything.
        with suppress(TypeError, ValueError, LookupError, ArithmeticError):
            if "need" in message:
                self._hand_layer(message["need"])
            if "state" in message:
                self._follow(dict(message["state"]), str(message.get("address", "")))
            if "failed" in message:
                self._failed(str(message["failed"])[:500])

    def _hand_layer(self, need: dict[str, Any]) -> None:
        if need["trace"] != self.component.meta["trace"]:
            return
        layer = int(need["layer"])
        if 0 <= layer < len(self.state.trace.calls):
            arrays = pack_layer(self.state.trace.calls[layer])
            self.component.supply = {"trace": need["trace"], "layer": layer, "arrays": arrays}

    def _hand_paint(self) -> None:
        """Hand over the chosen seed's projections where the page has not got them."""
        seed = self.state.color_seed
        if seed not in self._paints:
            self._paints.add(seed)
            # All of them each time: a page that is not there yet sees the last only.
            widths = make_projections(self.state.trace, sorted(self._paints))
            self.component.projections = {"trace": self.component.meta["trace"], "widths": widths}

    def _follow(self, told: dict[str, Any], address: str) -> None:
        """Take the state the page tells, unless Python has set another one since."""
        if (told.pop("trace"), told.pop("push")) != (self.component.meta["trace"], self._push):
            return
        known = set(choices_of(self.state)) - {"dark", "pair", "viewport"}
        chosen = {name: told[name] for name in known & set(told)}
        chosen["pair"] = _numbers(told["pair"], 2, int)
        chosen["viewport"] = _numbers(told["viewport"], 4, float)
        self.following = True
        try:
            self.state.choose(**chosen)
        finally:
            self.following = False
        self._hand_paint()
        self._told(address)


def _numbers(told: Any, count: int, kind: type) -> tuple[Any, ...] | None:
    """A tuple of so many numbers, or None where nothing was told."""
    if told is None:
        return None
    numbers = tuple(kind(number) for number in told)
    if len(numbers) != count or not all(map(math.isfinite, numbers)) or min(numbers) < -1:
        raise ValueError(f"{count} numbers from -1 up are expected; got {numbers}")
    return numbers
