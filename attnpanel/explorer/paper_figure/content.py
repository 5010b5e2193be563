"""What a figure shows, as plain data: panels, title and caption. Needs no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnpanel.attention.mask_table import find_mask
from attnpanel.explorer.state import MASK_RULE, ExplorerState
from attnpanel.explorer.views.heatmaps import output_drawing, scores_drawing, weights_drawing
from attnpanel.explorer.weight_scales import find_scale
from attnpanel.trace.indices import one_index
from attnpanel.trace.lookup import find_call
from attnpanel.ui.theme import LIGHT, ramp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from attnpanel.explorer.views.drawing import Drawing
    from attnpanel.trace import Trace

Kind = Literal["weights", "steps"]
# Those of the explorer's choices that are no other option of a figure.
CHOICES = {*MASK_RULE, "batch", "temperature", "empty_rows", "weight_scale", "skip_first"}
# Millimetres. Columns and pages of Nature, IEEE and ACL are 77 to 89 and 160 to 183 wide.
WIDTHS = {"column": 88.0, "page": 180.0}
NARROWEST, WIDEST = 40.0, 1000.0
# Characters of the prompt in the caption, and tokens that surely have as many.
PROMPT, PROMPT_TOKENS = 90, 100
# Parts of a colour scale that have a number; as EVEN and SPREAD of js/views/legend.js.
EVEN = (0.0, 0.25, 0.5, 0.75, 1.0)
SPREAD = (0.0, 0.05, 0.2, 0.5, 1.0)
BAR_COLOURS = 256
# Colours of a map: with the 256 of a screen, square roots would begin in visible steps.
MAP_COLOURS = 4096


@dataclass(frozen=True, eq=False)
class Bar:
    """A colour bar: its colours from low to high, its numbers and what they are.

    Attributes
    ----------
    colours : tuple of str
        Evenly spread over the bar.
    ticks : tuple of (float, str)
        The place along the bar, 0 to 1, and the number there.
    label : str
    """

    colours: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]
    label: str


@dataclass(frozen=True, eq=False)
class Panel:
    """One map: its drawing, its title, its colour bar and what precedes it.

    Attributes
    ----------
    drawing : Drawing
    title : str
    bar : Bar
    x_label : str
        What a column is.
    operations : tuple of str
        What turns the panel before it into this one.
    """

    drawing: Drawing
    title: str
    bar: Bar
    x_label: str = "key"
    operations: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Content:
    """Everything that a figure shows.

    Attributes
    ----------
    title, caption : str
    panels : tuple of Panel
        One, or score, softmax and mix.
    query_tokens, key_tokens : tuple of str or None
        None where only positions are known.
    query : int or None
        The outlined row.
    masked : bool
        Whether a panel has a masked cell.
    """

    title: str
    caption: str
    panels: tuple[Panel, ...]
    query_tokens: tuple[str, ...] | None
    key_tokens: tuple[str, ...] | None
    query: int | None
    masked: bool


def millimetres(width: object) -> float:
    """Return the width of a figure in mm.

    Raises
    ------
    ValueError
        If it is no name of `WIDTHS` and no number from 40 to 1000.
    """
    if isinstance(width, str) and width in WIDTHS:
        return WIDTHS[width]
    number = isinstance(width, int | float | np.number) and not isinstance(width, bool)
    if not number or not NARROWEST <= float(width) <= WIDEST:  # type: ignore[arg-type]  # a number
        names = ", ".join(map(repr, WIDTHS))
        raise ValueError(f"width must be {names} or {NARROWEST:g} to {WIDEST:g} mm; got {width!r}")
    return float(width)  # type: ignore[arg-type]  # a number


def content_of(
    trace: Trace,
    layer: int | str | tuple[str, int],
    head: int | None,
    *,
    kind: Kind,
    query: int | None,
    title: str | None,
    caption: str | None,
    choices: dict[str, Any],
) -> Content:
    """Return what a figure of a head shows; parameters as for :func:`head_figure`.

    Raises
    ------
    IndexError, KeyError, ValueError
        If layer, head, sequence or query do not exist, or an option breaks its rule.
    """
    if kind not in ("weights", "steps"):
        raise ValueError(f"kind must be 'weights' or 'steps'; got {kind!r}")
    call = find_call(trace.calls, layer)
    position = next(i for i, known in enumerate(trace.calls) if known is call)
    state = ExplorerState(trace, layer=position)
    unknown = sorted(set(choices) - CHOICES)
    if unknown:
        raise ValueError(f"a figure's options are {', '.join(sorted(CHOICES))}; got {unknown[0]!r}")
    state.choose(**choices, head=one_index("head", 0 if head is None else head, call.heads))
    state.aggregate = head is None
    if query is not None:
        query = state.query_index = one_index("query", query, call.query_len)
    if not call.live and (state.mask != "model" or state.temperature != 1 or kind == "steps"):
        raise ValueError(
            "recorded weights have no scores, temperature 1 and the model's mask; got "
            f"kind {kind!r}, temperature {state.temperature!r} and mask {state.mask!r}"
        )
    panels = _panels(state, kind)
    queries, keys = state.query_tokens, state.key_tokens
    what = "attention weights" if kind == "weights" else _listed([p.title for p in panels])
    return Content(
        one_line(title) if title is not None else f"{_place(state).capitalize()}: {what}",
        one_line(caption) if caption is not None else describe(state, query),
        panels,
        None if queries == _positions(len(queries)) else queries,
        None if keys == _positions(len(keys)) else keys,
        query,
        any(_has_masked(panel.drawing) for panel in panels),
    )


def one_line(text: str) -> str:
    """Return a text without line breaks and other characters that cannot be printed."""
    spaced = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "·" for letter in spaced)


def describe(state: ExplorerState, query: int | None) -> str:
    """Return the caption: what the numbers are and where they come from."""
    trace, call = state.trace, state.call
    tokens = trace.tokens_of(call, state.batch)
    texts = [_text(row) for row in dict.fromkeys(tokens) if row != _positions(len(row))]
    name = "" if call.layer.isdecimal() else f" ({call.layer})"
    place = _place(state)
    parts = [
        trace.model or trace.source,
        "queries {}, keys {}".format(*texts) if len(texts) == 2 else "".join(texts),
        place.replace(",", f"{name},", 1),
        "" if call.batch == 1 else f"sequence {state.batch}",
        f"mask: {_mask(state)}",
        f"temperature {state.temperature:g}",
        "" if query is None else f"outlined: query {query}, “{tokens[0][query]}”",
        f"empty rows: {state.empty_rows}" if _any_empty(state) else "",
        "colours without the first token" if state.scaled_from else "",
        _pooled(weights_drawing(state), call.query_len, call.key_len),
    ]
    return one_line(" · ".join(part for part in parts if part))


def bar_ticks(low: float, high: float, power: float, *, relative: bool) -> Any:
    """Return the places along a colour bar that have a number, and the numbers."""

    def label(part: float) -> str:
        if relative:
            return f"{part * 100:.3g} %"
        return f"{low + part * (high - low):.3g}".replace("-", "−")

    return tuple((part**power, label(part)) for part in (SPREAD if power < 1 else EVEN))


def _panels(state: ExplorerState, kind: Kind) -> tuple[Panel, ...]:
    scale = find_scale(state.weight_scale)
    relative = scale.ends == "row"
    said = "of row max." if relative else "weight"
    drawing = _finer(weights_drawing(state), LIGHT.sequential)
    if kind == "weights":
        return (Panel(drawing, "Softmax", _bar(drawing, said, relative=relative)),)
    scores = _finer(scores_drawing(state), LIGHT.diverging)
    operations = ("mask", "÷ τ", "softmax")
    panels = [
        Panel(scores, "Score", _bar(scores, "score")),
        Panel(drawing, "Softmax", _bar(drawing, said, relative=relative), operations=operations),
    ]
    if state.call.value is not None:
        mixed = _finer(output_drawing(state), LIGHT.diverging)
        panels.append(Panel(mixed, "Mix", _bar(mixed, "output"), "channel", ("× V",)))
    return tuple(panels)


def _finer(drawing: Drawing, anchors: tuple[str, ...]) -> Drawing:
    colours = drawing.colours
    assert colours is not None  # noqa: S101 - a heatmap has colours
    palette = ramp(anchors, MAP_COLOURS, power=colours.power)
    return replace(drawing, colours=replace(colours, palette=palette))


def _bar(drawing: Drawing, label: str, *, relative: bool = False) -> Bar:
    colours = drawing.colours
    assert colours is not None  # noqa: S101 - a heatmap has colours
    last = len(colours.palette) - 1
    at = np.rint(last * np.linspace(0, 1, BAR_COLOURS) ** (1 / colours.power)).astype(int)
    ticks = bar_ticks(colours.low, colours.high, colours.power, relative=relative)
    return Bar(tuple(colours.palette[i] for i in at), ticks, label)


def _place(state: ExplorerState) -> str:
    call = state.call
    which = f"head {state.trace.head_numbers(call)[state.head]}"
    if state.aggregate:
        which = f"mean of {call.heads} heads"
    return f"layer {state.trace.layer_numbers[state.layer]}, {which}"


def _mask(state: ExplorerState) -> str:
    if state.mask == "model":
        return "as the model"
    row = find_mask(state.mask)
    given = [f"{p.label.lower()} {_number(getattr(state, p.name))}" for p in row.parameters]
    return f"{row.label} ({', '.join(given)})" if given else row.label


def _number(value: int | tuple[int, ...]) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _text(tokens: Sequence[str]) -> str:
    """Return the text of tokens as one reads it, quoted and cut."""
    first = list(islice(tokens, PROMPT_TOKENS))
    spaced = any(token.startswith(" ") for token in first)
    joined = ("" if spaced else " ").join(first).replace(" ##", "").strip()
    whole = len(first) == len(tokens) and len(joined) <= PROMPT
    return f"“{joined}”" if whole else f"“{joined[:PROMPT].rstrip()}…”"


def _any_empty(state: ExplorerState) -> bool:
    return any(bool(block.empty.any()) for _, block in state.selection.blocks())


def _pooled(drawing: Drawing, query_len: int, key_len: int) -> str:
    """Say what a cell of a long sequence is; see PICTURE_CELLS."""
    rows, columns = next(iter(drawing.sources.values()))["image"][0].shape
    height, width = -(-query_len // rows), -(-key_len // columns)
    return "" if height * width == 1 else f"each cell the largest of {height} × {width}"


def _has_masked(drawing: Drawing) -> bool:
    image = next(iter(drawing.sources.values()))["image"][0]
    return bool(drawing.masked and np.isnan(image).any())


def _positions(length: int) -> tuple[str, ...]:
    return tuple(map(str, range(length)))


def _listed(titles: list[str]) -> str:
    *first, last = (title.lower() for title in titles)
    return f"{', '.join(first)} and {last}"
