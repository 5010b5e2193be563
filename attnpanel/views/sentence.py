"""One sentence of arithmetic for a pair of tokens, with the real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnpanel.masks import MASKS

if TYPE_CHECKING:
    from attnpanel.state import ExplorerState

EMPTY_ROWS = {
    "zero": "so its weights are all 0 and it becomes nothing (policy “zero”)",
    "uniform": (
        "so every key gets 1/{keys} = {share:.3g} (policy “uniform”, what filling with −1e9 does)"
    ),
    "nan": "so its weights are not numbers (policy “nan”, what filling with −∞ does)",
}


@dataclass(frozen=True)
class Piece:
    """A run of the sentence: how it is set, and its text."""

    kind: Literal["pair", "number", "result", "text"]
    text: str


def sentence(state: ExplorerState) -> tuple[Piece, ...]:
    """Say how the shown pair's weight comes about, or why there is none.

    Returns
    -------
    tuple of Piece
        Plain text pieces, never markup: a token is shown as it is.
    """
    query_index, key_index = state.shown_pair
    query = quoted(state.query_tokens[query_index])
    key = quoted(state.key_tokens[key_index])
    pair = Piece("pair", f"{bare(query)} → {bare(key)}")
    selection = state.selection
    weight = float(selection.weights[query_index, key_index])
    if selection.empty[query_index]:
        policy = EMPTY_ROWS[state.empty_rows].format(keys=state.call.key_len, share=weight)
        return (
            Piece("pair", bare(query)),
            Piece("text", f"is an empty row: {_because(state)} it may see no key, {policy}."),
        )
    if not selection.visible[query_index, key_index]:
        return (
            pair,
            Piece(
                "text", f"is masked: {_because(state)} {query} may not see {key}, so its weight is"
            ),
            Piece("result", "0"),
        )
    if np.isnan(weight):
        return (pair, Piece("text", "has no weight: the model itself recorded no number here."))
    share = Piece("result", f"{100 * weight:.3g} %")
    if state.aggregate:
        heads = state.call.heads
        return (
            pair,
            Piece("text", f"the mean over {heads} heads:"),
            share,
            Piece("text", f"of what {query} becomes is taken from {key}."),
        )
    taken = Piece("text", f"of what {query} becomes is taken from {key}.")
    if selection.scores is None:
        return (pair, Piece("text", "as the model recorded it:"), share, taken)
    score = float(selection.scores[query_index, key_index])
    visible = selection.scores[query_index][selection.visible[query_index]].astype(float)
    temperature = float(state.temperature)
    return (
        pair,
        Piece("number", f"{formula(state)} = {score:.2f}"),
        Piece("text", f"÷ τ {temperature:.2f} →"),
        Piece("number", _softmax(score / temperature, visible / temperature)),
        Piece("text", "="),
        share,
        taken,
    )


def plain(pieces: tuple[Piece, ...]) -> str:
    """Return the sentence as one line of text."""
    return " ".join(piece.text for piece in pieces)


def quoted(token: str) -> str:
    """Return a token as quoted in running text, cut to a readable length."""
    return f"“{token if len(token) <= 32 else token[:31] + '…'}”"


def bare(quote: str) -> str:
    """Return the token without its quotation marks."""
    return quote[1:-1]


def formula(state: ExplorerState) -> str:
    """Return how a score of the shown call is made, before mask and temperature."""
    call = state.call
    usual = call.head_dim is not None and np.isclose(call.scale, call.head_dim**-0.5)
    product = "q·k/√d" if usual else f"{call.scale:.3g}·q·k"
    return product if call.bias is None else f"{product} + bias"


def _softmax(scaled: float, visible: np.ndarray) -> str:
    peak = visible.max()
    total = float(np.exp(visible - peak).sum())
    if scaled > -9 and peak < 11:
        return f"e^{scaled:.2f} / Σ = {_amount(np.exp(scaled))} / {_amount(total * np.exp(peak))}"
    # Written with the logarithm of Σ, since e^… itself would be too long to read.
    return f"e^({scaled:.2f} − ln Σ) = e^({scaled:.2f} − {peak + np.log(total):.2f})"


def _amount(number: float) -> str:
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def _because(state: ExplorerState) -> str:
    if state.mask == "model" or not state.call.live:
        return "under the model's own mask"
    label = next(row.label for row in MASKS if row.kind == state.mask)
    length = f" (pad length {state.pad_len})" if "padding" in state.mask else ""
    return f"under the {label} mask{length}"
