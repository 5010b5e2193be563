"""The error map's card: live where Python answers, recorded in a file."""

from __future__ import annotations

import base64
import threading
import time
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import panel as pn

from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.to_page import ToPage
from bench.error_map import (
    DTYPES,
    MASKS,
    REFERENCE,
    SIZE,
    TEMPERATURES,
    NoAnswerError,
    Setting,
    choices,
    difference,
    side,
    truth,
)
from bench.page.components import ErrorChoices, styles
from bench.page.error_picture import BEYOND_UNITS, error_figure
from bench.page.run_cards import box, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from attnpanel.kernels.request import DType
    from attnpanel.masks import MaskName
    from bench.error_map import Difference, Side, Truth

FIRST: Final = "numpy-row-blocked"
CHOICES: Final = ("first", "second", "dtype", "mask", "temperature")
# What a file carries: 4 kB for each implementation in each setting.
KEPT_DTYPES: Final[tuple[DType, ...]] = ("float32", "float16")
KEPT_MASKS: Final[tuple[MaskName, ...]] = ("none", "causal", "padding")
KEPT_TEMPERATURES: Final = (0.1, 1.0, 10.0)
RECORDING_LIMIT_S: Final = 45.0
# Sides of settings seen before: 16 kB each.
MOST_REMEMBERED: Final = 200


def live_error_card(*, dark: bool) -> Any:
    """Return the card whose answers are computed when they are asked for."""
    component = _component(choices(), DTYPES, MASKS, TEMPERATURES)
    answers = _Answers()
    number = 0

    def ask(*_: object) -> None:
        nonlocal number
        number += 1
        mine, to_page = number, ToPage()
        chosen = component.first, component.second, *_chosen_setting(component)
        asked = {name: getattr(component, name) for name in CHOICES}

        def show(answer: dict[str, Any]) -> None:
            if mine == number:  # else the reader has chosen something else meanwhile
                component.answer = {"asked": asked, **answer}

        def work() -> None:
            answer = answers.answer(*chosen, wanted=lambda: mine == number)
            if answer is not None:
                to_page(lambda: show(answer))

        # What compiles takes seconds: the page lives on meanwhile.
        threading.Thread(target=work, name="attnpanel-error-map", daemon=True).start()

    component.param.watch(ask, list(CHOICES))
    ask()
    return _card(component, "computed when you choose", dark=dark)


def recorded_error_card() -> Any:
    """Return the card of a file: every answer to its smaller choices lies in it."""
    settings, kept = record()
    if len(kept) < 2:
        return box(
            words("Error map", heading=True),
            words("No implementation could be run where this report was written.", tone="muted"),
            css="attn-card",
        )
    component = _component(tuple(kept), KEPT_DTYPES, KEPT_MASKS, KEPT_TEMPERATURES)
    component.recorded = {"settings": settings}
    return _card(component, "recorded when this report was written, on its machine", dark=False)


@cache
def record() -> tuple[dict[str, Any], list[str]]:
    """Return every setting's errors against the reference, and the names that have some.

    Once a process: the numbers are the same each time. What compiles is left out, and so are the
    last names where all together take too long.
    """
    names = [REFERENCE, *(one.name for one in IMPLEMENTATIONS if not one.compiles)]
    rights = {
        setting: truth(setting)
        for setting in (
            Setting(dtype, mask, temperature)
            for dtype in KEPT_DTYPES
            for mask in KEPT_MASKS
            for temperature in KEPT_TEMPERATURES
        )
    }
    settings: dict[str, Any] = {
        _key(setting): {
            "visible": _packed(right.visible.astype(np.uint8)),
            "coarser": _packed(right.coarser.astype(np.float16)),
            "sides": {},
        }
        for setting, right in rights.items()
    }
    kept, start = [], time.monotonic()
    for name in names:
        if time.monotonic() - start > RECORDING_LIMIT_S:
            break
        known = False
        for setting, right in rights.items():
            try:
                told: dict[str, Any] = _errors(side(name, setting, right), right)
                known = True
            except NoAnswerError as error:
                told = {"reason": str(error)}
            settings[_key(setting)]["sides"][name] = told
        if known:
            kept.append(name)
    return settings, kept


def _errors(one: Side, right: Truth) -> dict[str, Any]:
    """A side's signed errors in units as 16-bit numbers; on empty rows the values themselves."""
    empty = right.empty[:, None]
    parts = [
        np.where(empty, got, (got - exact) / unit)
        for got, exact, unit in (
            (one.output, right.output, right.output_unit),
            (one.weights, right.weights, right.weights_unit),
        )
    ]
    with np.errstate(over="ignore"):
        return {"errors": _packed(np.stack(parts).astype(np.float16)), "coarse": one.coarse}


def _key(setting: Setting) -> str:
    return f"{setting.dtype} {setting.mask} {setting.temperature:g}"


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


class _Answers:
    """Computes answers one at a time, and remembers the sides computed last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._truths: dict[Setting, Truth] = {}
        self._sides: OrderedDict[tuple[str, Setting], Side] = OrderedDict()

    def answer(
        self,
        first: str,
        second: str,
        dtype: DType,
        mask: MaskName,
        temperature: float,
        *,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any] | None:
        """Return what the page draws, or the problem in words; None where nobody wants it now."""
        with self._lock:
            if not wanted():
                return None
            try:
                setting = Setting(dtype, mask, temperature)
                if setting not in self._truths:
                    self._truths[setting] = truth(setting)
                right = self._truths[setting]
                one = self._side(first, setting, right)
                other = self._side(second, setting, right)
            except NoAnswerError as error:
                return {"problem": f"{str(error).rstrip('.')}. Choose something else."}
        return _answer(difference(one, other, right), right)

    def _side(self, name: str, setting: Setting, right: Truth) -> Side:
        key = name, setting
        if key not in self._sides:
            self._sides[key] = side(name, setting, right)
            if len(self._sides) > MOST_REMEMBERED:
                self._sides.popitem(last=False)
        self._sides.move_to_end(key)
        return self._sides[key]


def _answer(found: Difference, right: Truth) -> dict[str, Any]:
    return {
        "output": np.minimum(found.output, BEYOND_UNITS).ravel().tolist(),
        "weights": np.minimum(found.weights, BEYOND_UNITS).ravel().tolist(),
        "visible": right.visible.ravel().astype(int).tolist(),
    }


def _component(
    names: tuple[str, ...],
    dtypes: tuple[str, ...],
    masks: tuple[str, ...],
    temperatures: tuple[float, ...],
) -> ErrorChoices:
    implementations = [name for name in names if name != REFERENCE]
    return ErrorChoices(
        choices={
            "first": implementations,
            "second": list(names),
            "dtype": list(dtypes),
            "mask": list(masks),
            "temperature": [f"{one:g}" for one in temperatures],
        },
        first=FIRST if FIRST in names else implementations[0],
        second=REFERENCE,
        size=SIZE,
        sizing_mode="stretch_width",
        margin=0,
        css_classes=["bench-error-map"],
    )


def _chosen_setting(component: ErrorChoices) -> tuple[DType, MaskName, float]:
    """The choices as the page sent them; what is none of ours becomes the default."""
    dtype = next((one for one in DTYPES if one == component.dtype), DTYPES[0])
    mask = next((one for one in MASKS if one == component.mask), MASKS[0])
    texts = {f"{one:g}": one for one in TEMPERATURES}
    return dtype, mask, texts.get(component.temperature, 1.0)


def _card(component: ErrorChoices, aside: str, *, dark: bool) -> Any:
    pictures = [
        box(
            words(title, meaning, heading=True),
            pn.pane.Bokeh(
                error_figure(name, across, dark=dark), sizing_mode="stretch_width", margin=0
            ),
            css="bench-part",
        )
        for name, title, meaning, across in (
            ("output", "Output", "|difference| of every cell", "channel"),
            ("weights", "Weights", "hatched: masked, and alike", "key"),
        )
    ]
    scale = pn.pane.HTML(
        "<p class='bench-scale'><span>the same <i></i> 8 units</span>"
        "<span><b></b> more than rounding explains</span></p>",
        stylesheets=styles(),
        margin=0,
    )
    return box(
        words(
            "Error map",
            f"where two implementations differ · {SIZE} tokens · {aside}",
            heading=True,
        ),
        component,
        box(*pictures, css="bench-pair"),
        scale,
        css="attn-card",
    )
