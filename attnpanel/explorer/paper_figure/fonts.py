"""Fonts of a figure: which are installed, how wide a text is, and which letters they lack."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MONO, SANS = "mono", "sans"
# matplotlib's own fonts are there on every computer and wider than most, so what a viewer puts in
# their place still fits. The others have the letters that those lack; the first found is used.
GENERIC = {MONO: "monospace", SANS: "sans-serif"}
OWN = {MONO: "DejaVu Sans Mono", SANS: "DejaVu Sans"}
FURTHER = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans",
    "Microsoft YaHei", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Noto Sans Symbols2", "Noto Emoji", "Segoe UI Symbol", "Arial Unicode MS",
)  # fmt: skip


@cache
def font_families() -> dict[str, list[str]]:
    """Return the installed font families for words and for tokens, in order of preference."""
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    further = [name for name in FURTHER if name in installed]
    return {MONO: [OWN[MONO], OWN[SANS], *further], SANS: [OWN[SANS], *further]}


@contextmanager
def settings() -> Iterator[None]:
    """Draw text as text, never as mathematics, whatever a user's matplotlibrc says."""
    import matplotlib as mpl

    chosen: dict[str, Any] = {
        "text.usetex": False,
        "text.parse_math": False,
        "text.hinting": "none",  # letters moved to pixels make a line up to 6 % longer
        "svg.fonttype": "none",
        # What an SVG names last, where its viewer has none of the fonts: no serifs.
        "font.sans-serif": [OWN[SANS]],
        "font.monospace": [OWN[MONO]],
        "svg.hashsalt": "attnpanel",  # the same figure is the same file
        "pdf.fonttype": 42,
        "hatch.linewidth": 0.5,
        "path.simplify": False,
        "savefig.bbox": None,
        "savefig.transparent": False,
    }
    with mpl.rc_context(chosen), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def missing_letters(figure: Any) -> str:
    """Return the letters of a figure that no installed font has, each once."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = {name for names in font_families().values() for name in names}
    known: set[int] = set()
    for family in families:
        known |= get_font(findfont(FontProperties(family=family))).get_charmap().keys()
    written = "".join(text.get_text() for text in figure.texts)
    return "".join(dict.fromkeys(letter for letter in written if ord(letter) not in known))


@cache
def text_width(text: str, size: float, font: str, bold: bool) -> float:  # noqa: FBT001 - cached by all of them
    """Return the width of a text in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    properties = FontProperties(
        family=font_families()[font], size=size, weight="bold" if bold else "normal"
    )
    width, _, _ = text_to_path.get_text_width_height_descent(text, properties, ismath=False)
    return float(width)
