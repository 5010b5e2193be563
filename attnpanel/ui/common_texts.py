"""Take the code of components and the styles out of a Bokeh document, to be compressed or cached.

They are the same in all documents, and two thirds of a small one.
"""

from __future__ import annotations

from typing import Any, Final

# The properties of Panel's and Bokeh's models that hold them.
PROPERTIES: Final = ("css", "esm")
# Shorter ones are left where they are, in characters.
SHORTEST: Final = 256
# What stands for a text: this and its number. js/core/common_texts.js puts the text there.
MARK: Final = "\0attnpanel-text "


def take_out_texts(data: Any) -> list[str]:
    """Replace the common texts in a document's JSON data, in place.

    Parameters
    ----------
    data : dict or list
        As Bokeh gives it, nested.

    Returns
    -------
    list of str
        The texts by their numbers, each once.
    """
    numbers: dict[str, int] = {}
    waiting = [data]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            for name in PROPERTIES:
                text = part.get(name)
                if isinstance(text, str) and len(text) >= SHORTEST:
                    part[name] = f"{MARK}{numbers.setdefault(text, len(numbers))}"
            waiting += part.values()
    return list(numbers)
