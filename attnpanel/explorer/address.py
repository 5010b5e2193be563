"""The explorer's choices as query parameters of a URL; one table serves Python and the page.

A served page parses its URL in Python, before a trace source is opened; a report does so in
JavaScript. The page alone writes URLs (`js/explorer/address.js`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param

from attnpanel.attention.mask_table import mask_parameters
from attnpanel.explorer.state import ExplorerState, Positions
from attnpanel.ui.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping

# Query parameter to parameter of ExplorerState, in the order in which they are written and applied.
ADDRESS = {
    "layer": "layer",
    "head": "head",
    "mean": "aggregate",
    "token": "query_index",
    "temperature": "temperature",
    "mask": "mask",
    **{row.address: name for name, row in mask_parameters().items()},
    "align": "align",
    "empty": "empty_rows",
    "batch": "batch",
    "paint": "color_seed",
    "scale": "weight_scale",
    "nosink": "skip_first",
    "lines": "line_heads",
    "only": "lines_of_token",
}
# Left out of a URL while they have their default.
OPTIONAL = (
    "aggregate", "batch", "align", "color_seed", "weight_scale", "skip_first", "line_heads",
    "lines_of_token",
)  # fmt: skip


def apply_address(state: ExplorerState, texts: Mapping[str, str]) -> list[str]:
    """Apply the choices of a URL; report those that do not apply to the trace.

    Parameters
    ----------
    state : ExplorerState
    texts : mapping of str to str
        Query parameters by the names of `ADDRESS`; others are ignored.

    Returns
    -------
    list of str
        One sentence for each choice that was not applied.
    """
    problems = []
    for short, name in ADDRESS.items():
        if short not in texts:
            continue
        try:
            setattr(state, name, _parse(state, name, texts[short]))
        except (KeyError, ValueError):
            label, text = t(str(state.param[name].label)), texts[short][:40]
            problems.append(t("{label}: “{text}” does not apply here.", label=label, text=text))
    return problems


def _parse(state: ExplorerState, name: str, text: str) -> object:
    """Return the value that a text stands for; KeyError or ValueError if it stands for none."""
    parameter, masks = state.param[name], mask_parameters()
    if isinstance(parameter, param.Boolean):
        return {"0": False, "1": True}[text]
    if name in masks:
        return masks[name].read(text)
    if isinstance(parameter, Positions):
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    # A trace of chosen layers and heads keeps their numbers in the whole one.
    if name == "layer":
        return state.trace.layer_numbers.index(int(text))
    if name == "head":
        return state.trace.head_numbers(state.call).index(int(text))
    if isinstance(parameter, param.Integer):
        return int(text)
    return float(text) if isinstance(parameter, param.Number) else text


def address_for_page() -> list[dict[str, Any]]:
    """Return the table as plain data for `js/explorer/address.js`.

    A row holds the query parameter (`address`), the choice (`name`), its label, its options in the
    text form of a URL (`options`; None for numbers and positions, and for the mask, whose options
    depend on the trace) and whether the default is left out (`optional`).
    """
    return [
        {
            "address": short,
            "name": name,
            "label": ExplorerState.param[name].label,
            "options": _options(name),
            "optional": name in OPTIONAL,
        }
        for short, name in ADDRESS.items()
    ]


def _options(name: str) -> list[str] | None:
    parameter = ExplorerState.param[name]
    if isinstance(parameter, param.Boolean):
        return ["0", "1"]
    if isinstance(parameter, param.Selector) and name != "mask":
        return list(parameter.objects)
    return None
