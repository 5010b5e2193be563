"""Draw the content of a figure with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.explorer.paper_figure.fonts import (
    GENERIC,
    MONO,
    SANS,
    font_families,
    settings,
    text_width,
)
from attnpanel.explorer.paper_figure.layout import (
    LARGEST,
    LINE,
    PIXEL,
    POINTS_PER_MM,
    bottom_labels,
    on_pixel,
    side_labels,
    spaced_ticks,
    with_label,
    wrap,
)
from attnpanel.explorer.selection import pool_by
from attnpanel.ui.theme import LIGHT

if TYPE_CHECKING:
    from attnpanel.explorer.paper_figure.content import Bar, Content, Panel
    from attnpanel.explorer.paper_figure.layout import Labels

TITLE, HEADING, WORDS, CAPTION = 8.5, 7.5, 6.5, 6.5
EDGE, GAP, ABOVE, TICK, BAR = 2.0, 4.0, 6.0, 2.0, 6.0
# A map is no narrower, in points; its height is between these, or as its cells are square.
LEAST_MAP, LOWEST, HIGHEST = 30.0, 40.0, 400.0
# Of its width, so that a column of a hundred queries and two keys still fits on a page.
TALLEST = 1.3
MASKED = "masked"


def draw(content: Content, mm: float) -> Any:
    """Return the matplotlib figure of some content.

    Raises
    ------
    ValueError
        If the maps would be too narrow to read.
    """
    from matplotlib.figure import Figure

    with settings():
        return _Sheet(content, mm, Figure()).figure


class _Sheet:
    """A figure being drawn; positions are points from its left and upper edge."""

    def __init__(self, content: Content, mm: float, figure: Any) -> None:
        self.content, self.figure = content, figure
        self.width = on_pixel(mm * POINTS_PER_MM)
        self.steps = len(content.panels) > 1
        self._draw()

    def _draw(self) -> None:
        content = self.content
        room = self.width - 2 * EDGE
        title = wrap(content.title, room, lambda s: self.measure(s, TITLE, bold=True))
        # A line begins with no dot.
        text = content.caption.replace(" · ", "\N{NO-BREAK SPACE}· ")
        caption = wrap(text, room, lambda s: self.measure(s, CAPTION))
        top = EDGE + len(title) * TITLE * LINE + (GAP if title else 0)
        heading = HEADING * LINE + 2 if self.steps else 0.0
        self._place(top + heading)
        below = self.top + self.high + self._room_below()
        height = below + (ABOVE + len(caption) * CAPTION * 1.35 if caption else 0) + EDGE
        self.height = on_pixel(height)
        self.figure.set_size_inches(self.width / 72, self.height / 72)
        self.figure.set_facecolor("white")
        for i, line in enumerate(title):
            self.text(EDGE, EDGE + i * TITLE * LINE, line, TITLE, va="top", weight="bold")
        for i, line in enumerate(caption):
            at = below + ABOVE + i * CAPTION * 1.35
            self.text(EDGE, at, line, CAPTION, va="top", color=LIGHT.muted)
        self._maps()

    def _place(self, top: float) -> None:
        """Find where the maps stand: margins depend on labels, and labels on the room."""
        panels = self.content.panels
        rows, columns = self._shape()
        self.top = on_pixel(top)
        # Beside a map without a bar the half of a number stands out.
        self.right = (
            self.measure("0000", LARGEST) / 2 if self.steps else self._bar_room(panels[0].bar)
        )
        self.gaps = [0.0, *(self._gap(panel) for panel in panels[1:])]
        left, self.high = 40.0, 0.0
        for _ in range(3):
            room = self.width - left - self.right - sum(self.gaps)
            self.wide = room / len(panels)
            if self.wide < LEAST_MAP:
                least = (self.width + (LEAST_MAP - self.wide) * len(panels)) / POINTS_PER_MM
                raise ValueError(
                    f"width must be at least {least:.0f} mm for these maps and labels; "
                    f"got {self.width / POINTS_PER_MM:.0f}"
                )
            tall = min(self.wide * rows / columns, TALLEST * self.wide, HIGHEST)
            self.high = on_pixel(max(tall, LOWEST))
            self.side = side_labels(self.content.query_tokens, rows, self.high)
            if self.content.query is not None:
                self.side = with_label(
                    self.side, self.content.query_tokens, self.content.query, self.high / rows
                )
            left = EDGE + WORDS * LINE + GAP + self._widest(self.side) + TICK
            if self.steps and self.content.masked:
                left = max(left, EDGE + BAR + 3 + self.measure(MASKED, WORDS) + GAP)
        self.left = on_pixel(left)
        room = self.width - left - self.right - sum(self.gaps)
        self.wide = on_pixel(room / len(panels))

    def _shape(self) -> tuple[int, int]:
        drawing = self.content.panels[0].drawing
        return round(drawing.y[0] - drawing.y[1]), round(drawing.x[1] - drawing.x[0])

    def _gap(self, panel: Panel) -> float:
        return max(self.measure(word, WORDS) for word in panel.operations) + 2 * GAP

    def _bar_room(self, bar: Bar) -> float:
        """Return the width beside a map for an upright bar with its numbers."""
        ticks = max(self.measure(text, WORDS) for _, text in bar.ticks)
        room = 2 * GAP + BAR + TICK + ticks + 2 + WORDS * LINE
        if self.content.masked:
            room = max(room, 2 * GAP + BAR + 3 + self.measure(MASKED, WORDS))
        return room + EDGE

    def _bottom(self, panel: Panel) -> Labels:
        columns = round(panel.drawing.x[1] - panel.drawing.x[0])
        tokens = self.content.key_tokens if panel.x_label == "key" else None
        if tokens == self.content.query_tokens and not self.side.tokens:
            tokens = None  # the same positions have the same names on both sides
        return bottom_labels(
            tokens, columns, self.wide, lambda text: self.measure(text, LARGEST, MONO)
        )

    def _labels_room(self) -> float:
        """Return the height of the labels below the maps, the same for all."""
        below = [self._bottom(panel) for panel in self.content.panels]
        return TICK + max(
            labels.size * LINE if labels.upright else self._widest(labels) for labels in below
        )

    def _room_below(self) -> float:
        room = self._labels_room() + 2 + WORDS * LINE
        return room + (GAP + BAR + TICK + 2 * WORDS * LINE if self.steps else 0)

    def _maps(self) -> None:
        left = self.left
        labels_room = self._labels_room()
        below = self.top + self.high + labels_room + 2 + WORDS * LINE + GAP
        for gap, panel in zip(self.gaps, self.content.panels, strict=True):
            if gap:
                self._arrow(left, gap, panel.operations)
                left = on_pixel(left + gap)
            self._map(panel, left)
            self._label_bottom(panel, left, labels_room)
            if self.steps:
                middle = left + self.wide / 2
                heading = {"ha": "center", "va": "bottom", "weight": "bold"}
                self.text(middle, self.top - 3, panel.title, HEADING, **heading)
                self._level_bar(panel.bar, left, below)
            else:
                self._upright_bar(panel.bar, left + self.wide + 2 * GAP)
            left += self.wide
        self._label_side()
        if self.steps and self.content.masked:
            self._masked_swatch(EDGE, below)

    def _map(self, panel: Panel, left: float) -> None:
        from matplotlib.colors import ListedColormap
        from matplotlib.patches import Rectangle

        drawing, colours = panel.drawing, panel.drawing.colours
        assert colours is not None  # noqa: S101 - a heatmap has colours
        axes = self.axes(left, self.top, self.wide, self.high)
        if drawing.masked:
            ground: dict[str, Any] = {
                "facecolor": LIGHT.masked,
                "edgecolor": LIGHT.hatch,
                "linewidth": 0,
            }
            axes.add_patch(
                Rectangle((0, 0), 1, 1, transform=axes.transAxes, hatch="/////", zorder=0, **ground)
            )
        columns = next(iter(drawing.sources.values()))
        image, x, y, dw, dh = (columns[name][0] for name in ("image", "x", "y", "dw", "dh"))
        # A cell that is smaller than a pixel would be skipped: then the largest is drawn.
        rows, cells = image.shape
        by = (-(-rows // int(self.high / PIXEL)), -(-cells // int(self.wide / PIXEL)))
        pooled = pool_by(image, *by)
        dh, dw = dh / rows * by[0] * pooled.shape[0], dw / cells * by[1] * pooled.shape[1]
        mapped = ListedColormap(colours.palette).with_extremes(bad=(0, 0, 0, 0))
        axes.imshow(
            np.ma.masked_invalid(pooled),
            cmap=mapped,
            vmin=colours.low,
            vmax=colours.high,
            extent=(x, x + dw, y + dh, y),
            interpolation="nearest",
            aspect="auto",
            zorder=1,
        )
        axes.set(xlim=drawing.x, ylim=drawing.y)
        if self.content.query is not None:
            row = (drawing.x[0], self.content.query - 0.5)
            thick = self.high / self._shape()[0] / 4
            axes.add_patch(
                Rectangle(row, drawing.x[1] - drawing.x[0], 1, fill=False, edgecolor=LIGHT.accent,
                          linewidth=min(max(thick, 0.3), 0.9), zorder=3, clip_on=False)
            )  # fmt: skip

    def _label_side(self) -> None:
        pitch = self.high / self._shape()[0]
        for position, text in zip(self.side.at, self.side.texts, strict=True):
            middle = self.top + (position + 0.5) * pitch
            chosen = position == self.content.query
            self.text(
                self.left - TICK - 1, middle, text, self.side.size,
                MONO if self.side.tokens else SANS,
                ha="right", va="center", weight="bold" if chosen else "normal",
                color=LIGHT.accent if chosen else LIGHT.ink,
            )  # fmt: skip
            self.line(self.left - TICK, middle, self.left, middle)
        name = "query" if self.side.tokens else "query position"
        if self.measure(name, WORDS) > self.high:
            name = "query"
        self.text(
            EDGE + WORDS * LINE / 2, self.top + self.high / 2, name, WORDS, ha="center",
            va="center", rotation=90, color=LIGHT.muted,
        )  # fmt: skip

    def _label_bottom(self, panel: Panel, left: float, room: float) -> None:
        labels = self._bottom(panel)
        pitch = self.wide / round(panel.drawing.x[1] - panel.drawing.x[0])
        bottom = self.top + self.high
        for position, text in zip(labels.at, labels.texts, strict=True):
            middle = left + (position + 0.5) * pitch
            self.text(
                middle, bottom + TICK + 1, text, labels.size, MONO if labels.tokens else SANS,
                ha="center", va="top", rotation=0 if labels.upright else 90,
            )  # fmt: skip
            self.line(middle, bottom, middle, bottom + TICK)
        name = panel.x_label
        if name == "key" and not labels.tokens:
            name = "key position"
        self.text(
            left + self.wide / 2,
            bottom + room + 2,
            name,
            WORDS,
            ha="center",
            va="top",
            color=LIGHT.muted,
        )

    def _arrow(self, left: float, gap: float, operations: tuple[str, ...]) -> None:
        from matplotlib.patches import FancyArrowPatch

        query = self.content.query
        at = self.top + self.high / 2
        if query is not None:
            at = self.top + self.high * (query + 0.5) / self._shape()[0]
        # The words stand above the arrow, within the height of the maps.
        at = max(at, self.top + len(operations) * WORDS * LINE + 3)
        self.figure.add_artist(
            FancyArrowPatch(
                self.point(left + GAP / 2, at), self.point(left + gap - GAP / 2, at),
                arrowstyle="-|>,head_length=3,head_width=1.6", shrinkA=0, shrinkB=0,
                linewidth=0.7, color=LIGHT.muted, transform=self.figure.transFigure,
            )
        )  # fmt: skip
        for i, word in enumerate(reversed(operations)):
            self.text(
                left + gap / 2, at - 3 - i * WORDS * LINE, word, WORDS, ha="center", va="bottom",
                color=LIGHT.muted,
            )  # fmt: skip

    def _level_bar(self, bar: Bar, left: float, top: float) -> None:
        self._gradient(bar, self.axes(left, top, self.wide, BAR), vertical=False)
        ends = {0.0: "left", 1.0: "right"}
        needs = lambda text: 1.6 * self.measure(text, WORDS) + 3  # noqa: E731 - labels at the ends stand inside
        for place, text in spaced_ticks(bar.ticks, self.wide, needs):
            x = left + place * self.wide
            self.line(x, top + BAR, x, top + BAR + TICK)
            self.text(x, top + BAR + TICK + 1, text, WORDS, ha=ends.get(place, "center"), va="top")
        self.text(
            left + self.wide / 2, top + BAR + TICK + WORDS * LINE + 1, bar.label, WORDS,
            ha="center", va="top", color=LIGHT.muted,
        )  # fmt: skip

    def _upright_bar(self, bar: Bar, left: float) -> None:
        left = on_pixel(left)
        swatch = BAR + 2 * GAP if self.content.masked else 0.0
        high = on_pixel(self.high - swatch)
        self._gradient(bar, self.axes(left, self.top, BAR, high), vertical=True)
        ticks = spaced_ticks(bar.ticks, high, lambda _: WORDS * LINE)
        for place, text in ticks:
            y = self.top + (1 - place) * high
            self.line(left + BAR, y, left + BAR + TICK, y)
            va = {0.0: "bottom", 1.0: "top"}.get(place, "center_baseline")
            self.text(left + BAR + TICK + 1, y, text, WORDS, va=va)
        self.text(
            self.width - EDGE - WORDS * LINE / 2, self.top + self.high / 2, bar.label, WORDS,
            ha="center", va="center", rotation=90, color=LIGHT.muted,
        )  # fmt: skip
        if self.content.masked:
            self._masked_swatch(left, self.top + self.high - BAR)

    def _masked_swatch(self, left: float, top: float) -> None:
        from matplotlib.patches import Rectangle

        self.figure.add_artist(
            Rectangle(
                self.point(left, top + BAR), BAR / self.width, BAR / self.height, hatch="/////////",
                facecolor=LIGHT.masked, edgecolor=LIGHT.hatch, linewidth=0,
                transform=self.figure.transFigure,
            )
        )  # fmt: skip
        self.text(left + BAR + 3, top + BAR / 2, MASKED, WORDS, va="center_baseline")

    def _gradient(self, bar: Bar, axes: Any, *, vertical: bool) -> None:
        from matplotlib.colors import to_rgb

        colours = np.array([[to_rgb(colour) for colour in bar.colours]])
        if vertical:
            colours = colours.transpose(1, 0, 2)[::-1]
        axes.imshow(colours, aspect="auto", interpolation="nearest", extent=(0, 1, 0, 1))

    def axes(self, left: float, top: float, wide: float, high: float) -> Any:
        """Return axes at a place, without ticks, framed by a hairline."""
        bottom = self.height - top - high
        box = (left / self.width, bottom / self.height, wide / self.width, high / self.height)
        axes = self.figure.add_axes(box)
        axes.set(xticks=[], yticks=[])
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set(color=LIGHT.muted, linewidth=0.4)
        return axes

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return a point as parts of the figure, from below."""
        return x / self.width, 1 - y / self.height

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a tick."""
        from matplotlib.lines import Line2D

        (left, top), (right, bottom) = self.point(x0, y0), self.point(x1, y1)
        self.figure.add_artist(
            Line2D([left, right], [top, bottom], color=LIGHT.muted, linewidth=0.4)
        )

    def text(
        self, x: float, y: float, text: str, size: float, font: str = SANS, **style: Any
    ) -> None:
        """Write a text as it is, whatever signs it has."""
        style = {"color": LIGHT.ink, "rotation_mode": "default", **style}
        family = [*font_families()[font], GENERIC[font]]
        at = self.point(x, y)
        self.figure.text(*at, text, fontsize=size, family=family, parse_math=False, **style)

    def measure(self, text: str, size: float, font: str = SANS, *, bold: bool = False) -> float:
        """Return the width of a text in points."""
        return text_width(text, size, font, bold)

    def _widest(self, labels: Labels) -> float:
        font = MONO if labels.tokens else SANS
        return max(self.measure(text, labels.size, font) for text in labels.texts)
