"""The card of the error map: live on a server, recorded in a file."""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import panel as pn

from attnpanel.bench.certify.error_map import (
    DTYPES,
    MASKS,
    REFERENCE,
    SIZE,
    TEMPERATURES,
    MapSettings,
    UnavailableError,
    choices,
    compute_side,
    difference,
    reference_result,
)
from attnpanel.bench.page.components import ErrorChoices, styles
from attnpanel.bench.page.error_plot import BEYOND_UNITS, error_figure
from attnpanel.bench.page.run_cards import box, text_line
from attnpanel.kernels import IMPLEMENTATIONS
from attnpanel.ui.background_task import LatestTask
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.attention.mask_table import MaskName
    from attnpanel.bench.certify.error_map import Difference, ImplementationResult, ReferenceResult
    from attnpanel.kernels.request import DType

FIRST: Final = "numpy-row-blocked"
CHOICES: Final = ("first", "second", "dtype", "mask", "temperature")
# Recorded settings: 4 kB for each implementation and setting.
KEPT_DTYPES: Final[tuple[DType, ...]] = ("float32", "float16")
KEPT_MASKS: Final[tuple[MaskName, ...]] = ("none", "causal", "padding")
KEPT_TEMPERATURES: Final = (0.1, 1.0, 10.0)
RECORDING_LIMIT_S: Final = 45.0
# Cached results of implementations: 16 kB each.
MAX_REMEMBERED: Final = 200


def live_error_card(*, dark: bool) -> Any:
    """Return the card whose answers are computed on demand."""
    component = _component(choices(), DTYPES, MASKS, TEMPERATURES)
    answers = _Answers()
    # Compiling takes seconds, during which the page must respond.
    work = LatestTask("attnpanel-error-map")

    def ask(*_: object) -> None:
        chosen = component.first, component.second, *_chosen_setting(component)
        asked = {name: getattr(component, name) for name in CHOICES}

        def show(answer: dict[str, Any]) -> None:
            component.answer = {"asked": asked, **answer}

        work.start(
            lambda _on_progress: answers.answer(*chosen),
            on_done=show,
            on_error=lambda reason: show({"problem": reason.rstrip(".")}),
            on_progress=lambda _text: None,
        )

    component.param.watch(ask, list(CHOICES))
    ask()
    return _card(component, t("computed when you choose"), dark=dark)


def recorded_error_card() -> Any:
    """Return the card of a file, with all answers to a smaller set of choices."""
    settings, kept = record()
    if len(kept) < 2:
        return box(
            text_line(t("Error map"), heading=True),
            text_line(
                t("No implementation could be run where this report was written."), tone="muted"
            ),
            css="attn-card",
        )
    component = _component(tuple(kept), KEPT_DTYPES, KEPT_MASKS, KEPT_TEMPERATURES)
    component.recorded = {"settings": settings}
    return _card(component, t("recorded when this report was written, on its machine"), dark=False)


@cache
def record() -> tuple[dict[str, Any], list[str]]:
    """Return the errors against the reference in each setting, and the names recorded.

    Cached, because the numbers do not change. Excludes implementations that compile, and the last
    ones once `RECORDING_LIMIT_S` is exceeded.
    """
    names = [
        REFERENCE,
        *(implementation.name for implementation in IMPLEMENTATIONS if not implementation.compiles),
    ]
    references = {
        setting: reference_result(setting)
        for setting in (
            MapSettings(dtype, mask, temperature)
            for dtype in KEPT_DTYPES
            for mask in KEPT_MASKS
            for temperature in KEPT_TEMPERATURES
        )
    }
    settings: dict[str, Any] = {
        _key(setting): {
            "visible": _packed(expected.visible.astype(np.uint8)),
            "coarser": _packed(expected.coarser.astype(np.float16)),
            "sides": {},
        }
        for setting, expected in references.items()
    }
    kept, start = [], time.monotonic()
    for name in names:
        if time.monotonic() - start > RECORDING_LIMIT_S:
            break
        known = False
        for setting, expected in references.items():
            try:
                answer: dict[str, Any] = _errors(compute_side(name, setting, expected), expected)
                known = True
            except UnavailableError as error:
                answer = {"reason": str(error)}
            settings[_key(setting)]["sides"][name] = answer
        if known:
            kept.append(name)
    return settings, kept


def _errors(result: ImplementationResult, expected: ReferenceResult) -> dict[str, Any]:
    """Encode signed errors in units as float16; empty rows hold the values themselves."""
    empty = expected.empty[:, None]
    parts = [
        np.where(empty, actual, (actual - exact) / unit)
        for actual, exact, unit in (
            (result.output, expected.output, expected.output_unit),
            (result.weights, expected.weights, expected.weights_unit),
        )
    ]
    with np.errstate(over="ignore"):
        return {"errors": _packed(np.stack(parts).astype(np.float16)), "coarse": result.coarse}


def _key(setting: MapSettings) -> str:
    return f"{setting.dtype} {setting.mask} {setting.temperature:g}"


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


class _Answers:
    """Computes answers, one at a time, and caches recent results."""

    def __init__(self) -> None:
        self._references: dict[MapSettings, ReferenceResult] = {}
        self._results: OrderedDict[tuple[str, MapSettings], ImplementationResult] = OrderedDict()

    def answer(
        self, first: str, second: str, dtype: DType, mask: MaskName, temperature: float
    ) -> dict[str, Any]:
        """Return the data to draw, or the problem as text."""
        try:
            setting = MapSettings(dtype, mask, temperature)
            if setting not in self._references:
                self._references[setting] = reference_result(setting)
            expected = self._references[setting]
            left = self._result(first, setting, expected)
            right = self._result(second, setting, expected)
        except UnavailableError as error:
            return {"problem": str(error).rstrip(".")}
        return _answer(difference(left, right, expected), expected)

    def _result(
        self, name: str, setting: MapSettings, expected: ReferenceResult
    ) -> ImplementationResult:
        key = name, setting
        if key not in self._results:
            self._results[key] = compute_side(name, setting, expected)
            if len(self._results) > MAX_REMEMBERED:
                self._results.popitem(last=False)
        self._results.move_to_end(key)
        return self._results[key]


def _answer(found: Difference, expected: ReferenceResult) -> dict[str, Any]:
    return {
        "output": np.minimum(found.output, BEYOND_UNITS).ravel().tolist(),
        "weights": np.minimum(found.weights, BEYOND_UNITS).ravel().tolist(),
        "visible": expected.visible.ravel().astype(int).tolist(),
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
            "temperature": [f"{value:g}" for value in temperatures],
        },
        first=FIRST if FIRST in names else implementations[0],
        second=REFERENCE,
        size=SIZE,
        sizing_mode="stretch_width",
        margin=0,
        css_classes=["bench-error-map"],
    )


def _chosen_setting(component: ErrorChoices) -> tuple[DType, MaskName, float]:
    """Return the choices sent by the page; unknown values become the default."""
    dtype = next((name for name in DTYPES if name == component.dtype), DTYPES[0])
    mask = next((name for name in MASKS if name == component.mask), MASKS[0])
    texts = {f"{value:g}": value for value in TEMPERATURES}
    return dtype, mask, texts.get(component.temperature, 1.0)


def _card(component: ErrorChoices, note: str, *, dark: bool) -> Any:
    heatmaps = [
        box(
            text_line(title, meaning, heading=True),
            pn.pane.Bokeh(
                error_figure(name, title, across, dark=dark), sizing_mode="stretch_width", margin=0
            ),
            css="bench-part",
        )
        for name, title, meaning, across in (
            ("output", t("Output"), t("|difference| of every cell"), t("channel")),
            ("weights", t("Weights"), t("hatched: masked, and alike"), t("key")),
        )
    ]
    scale = pn.pane.HTML(
        f"<p class='bench-scale'><span>{t('the same')} <i></i> {t('8 units')}</span>"
        f"<span><b></b> {t('more than rounding explains')}</span></p>",
        stylesheets=styles(),
        margin=0,
    )
    return box(
        text_line(
            t("Error map"),
            f"{t('where two implementations differ · {count} tokens', count=SIZE)} · {note}",
            heading=True,
        ),
        component,
        box(*heatmaps, css="bench-pair"),
        scale,
        css="attn-card",
    )
