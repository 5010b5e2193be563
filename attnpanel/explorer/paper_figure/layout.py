"""Where things stand in a figure, in points: labels, margins, lines of text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from attnpanel.explorer.views.drawing import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # Returns the width of a text in points.
    Measure = Callable[[str], float]

POINTS_PER_MM = 72 / 25.4
# Every edge stands on a pixel of 300 dpi, so that no map has a blurred one.
PIXEL = 72 / 300
# Sizes of tick labels between which they shrink until each cell has one, and a line in sizes.
LARGEST, SMALLEST, LINE = 6.5, 5.0, 1.2
# Positions from one label to the next.
STEPS = tuple(digit * 10**power for power in range(7) for digit in (1, 2, 5))
# A token at every third or later position tells less than where one is.
TOKENS_UP_TO = 2


@dataclass(frozen=True)
class Labels:
    """The tick labels along one side.

    Attributes
    ----------
    at : tuple of int
        Their positions.
    texts : tuple of str
    size : float
        In points.
    upright : bool
        Whether those of a horizontal side stand level; else they run upwards.
    tokens : bool
        Whether they are tokens rather than positions.
    """

    at: tuple[int, ...]
    texts: tuple[str, ...]
    size: float
    upright: bool = True
    tokens: bool = True


def side_labels(tokens: Sequence[str] | None, count: int, room: float) -> Labels:
    """Return the labels of `count` positions along a vertical side of so many points.

    No two overlap: they shrink, then every second has a label, then positions are numbered.
    """
    pitch = room / count
    size = min(max(pitch / LINE, SMALLEST), LARGEST)
    step = next(step for step in STEPS if step * pitch >= size * LINE)
    if tokens is None or step > TOKENS_UP_TO:
        return numbers(count, room, lambda _: LARGEST * LINE)
    at = range(0, count, step)
    return Labels(tuple(at), tuple(shorten(tokens[i]) for i in at), size)


def bottom_labels(
    tokens: Sequence[str] | None, count: int, room: float, measure: Measure
) -> Labels:
    """Return the labels below `count` positions: level where all fit so, else running upwards.

    `measure` takes a text at the largest size of labels.
    """
    upwards = side_labels(tokens, count, room)
    if not upwards.tokens:
        return numbers(count, room, lambda text: measure(text) + LARGEST)
    widest = max(map(measure, upwards.texts))
    if widest + LARGEST / 2 <= room / count:
        return Labels(upwards.at, upwards.texts, LARGEST)
    return Labels(upwards.at, upwards.texts, upwards.size, upright=False)


def numbers(count: int, room: float, needs: Measure) -> Labels:
    """Return numbered positions, each with the room that its text needs."""
    pitch = room / count
    widest = needs(str(count - 1))
    step = next(step for step in STEPS if step * pitch >= widest)
    at = tuple(range(0, count, step))
    return Labels(at, tuple(map(str, at)), LARGEST, tokens=False)


def spaced_ticks(
    ticks: Sequence[tuple[float, str]], room: float, needs: Measure
) -> Sequence[tuple[float, str]]:
    """Return the ticks of a colour bar: all, every second or the ends, the first without overlap.

    `needs` returns the room that a number takes along the bar.
    """
    for kept in (ticks, ticks[::2]):
        spaces = (
            (place - at) * room - (needs(text) + needs(other)) / 2
            for (at, other), (place, text) in pairwise(kept)
        )
        if all(space >= 0 for space in spaces):
            return kept
    return ticks[:: len(ticks) - 1]


def with_label(labels: Labels, tokens: Sequence[str] | None, position: int, pitch: float) -> Labels:
    """Return the labels of a side with that of one position among them, and none that it meets."""
    if position in labels.at:
        return labels
    text = shorten(tokens[position]) if labels.tokens and tokens is not None else str(position)
    clear = labels.size * LINE / pitch
    kept = {
        at: text
        for at, text in zip(labels.at, labels.texts, strict=True)
        if abs(at - position) >= clear
    } | {position: text}
    return replace(labels, at=tuple(sorted(kept)), texts=tuple(kept[at] for at in sorted(kept)))


def wrap(text: str, room: float, measure: Measure) -> list[str]:
    """Return the lines of a text; a word wider than a line is divided, behind a sign if it can."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if measure(longer) <= room:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while measure(line) > room and len(line) > 1:
            fits = next((n for n in range(len(line) - 1, 1, -1) if measure(line[:n]) <= room), 1)
            fits = next((n for n in range(fits, fits // 2, -1) if line[n - 1] in "-/_."), fits)
            lines.append(line[:fits])
            line = line[fits:]
    return [*lines, line] if line else lines


def on_pixel(points: float) -> float:
    """Return a length as a multiple of a pixel of 300 dpi."""
    return round(points / PIXEL) * PIXEL
