"""Progress of work that may take more than a second: a bar in a terminal or notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable

Progress = Callable[[float, str], None]
DELAY_S = 1.0


def no_progress(_fraction: float, _text: str) -> None:
    """Ignore progress."""


def progress_bar(label: str) -> Progress:
    """Return a function that draws a bar, from a second after it was made.

    It draws on stderr, and only where somebody looks: in a terminal or a notebook. Called with the
    fraction done, 0 to 1, and a message; 1 removes the bar.
    """
    from tqdm import tqdm

    bar = tqdm(
        desc=label,
        total=1.0,
        delay=DELAY_S,
        leave=False,
        disable=not (sys.stderr.isatty() or "ipykernel" in sys.modules),
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
    )

    def advance(fraction: float, text: str) -> None:
        bar.set_postfix_str(text, refresh=False)
        bar.update(max(fraction - bar.n, 0))
        if fraction >= 1:
            bar.close()

    return advance
