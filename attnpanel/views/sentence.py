"""One sentence of arithmetic for a pair of tokens, with the real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnpanel.masks import MASKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.state import ExplorerState

EMPTY_ROWS = {
    "zero": "so its weights are all 0 and it becomes nothing (policy “zero”)",
    "uniform": (
        "so every key gets 1/{keys} = {share:.3g} (policy “uniform”, what filling with −1e9 does)"
    ),
    "nan": "so its weights are not numbers (policy “nan”, what filling with −∞ does)",
}
SINK_ROW = "so its weights are all 0: the attention sink takes the whole row"


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
        if _sinks(state) is not None:
            policy = SINK_ROW
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
    taken = Piece("text", f"of what {query} becomes is taken from {key}.{_of_sink(state)}")
    if state.aggregate:
        heads = state.call.heads
        return (pair, Piece("text", f"the mean over {heads} heads:"), share, taken)
    if selection.scores is None:
        return (pair, Piece("text", "as the model recorded it:"), share, taken)
    score = float(selection.scores[query_index, key_index])
    temperature = float(state.temperature)
    return (
        pair,
        Piece("number", f"{formula(state)} = {score:.2f}"),
        Piece("text", f"÷ τ {temperature:.2f} →"),
        Piece("number", _softmax(score / temperature, _row(state) / temperature)),
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
    if call.soft_cap is not None:
        product = f"{product} capped at ±{call.soft_cap:.3g}"
    return product if call.bias is None else f"{product} + bias"


def scale_words(state: ExplorerState) -> str:
    """Return what the colours of the weights mean."""
    # Short enough for one line: a second would push this picture below those beside it.
    if state.scaled_from:
        return "colour without first token"
    scale = {"square root": "colour by square root", "per row": "colour relative to its row"}
    return scale.get(state.weight_scale, "each row sums to 1")


def _sinks(state: ExplorerState) -> NDArray[np.floating] | None:
    return state.call.sinks if state.call.live else None


def _of_sink(state: ExplorerState) -> str:
    """What the shown row's attention sink takes, as a sentence; nothing without one."""
    sinks = _sinks(state)
    if sinks is None:
        return ""
    rest = state.selection.weights[state.shown_pair[0]].sum(dtype=float)
    share = f"{100 * max(1 - rest, 0.0):.1f} %"
    if state.aggregate:
        return f" The heads' sinks take {share} of the row."
    return f" The head's sink (score {sinks[state.head]:.2f}) takes {share} of the row."


def _row(state: ExplorerState) -> NDArray[np.float64]:
    """The scores that the shown pair's softmax sums over: those it sees, and the sink's."""
    query_index, _ = state.shown_pair
    selection, sinks = state.selection, _sinks(state)
    assert selection.scores is not None  # noqa: S101 - the caller has seen them
    visible = selection.scores[query_index][selection.visible[query_index]].astype(float)
    return visible if sinks is None else np.append(visible, float(sinks[state.head]))


def _softmax(scaled: float, visible: np.ndarray) -> str:
    peak = visible.max()
    total = float(np.exp(visible - peak).sum())
    if scaled > -9 and peak < 11:
        return f"e^{scaled:.2f} / Σ = {_amount(np.exp(scaled))} / {_amount(total * np.exp(peak))}"
    # Written with the logarithm of Σ, since e^… itself would be too long to read.
    whole = peak + float(np.log(total))
    digits = next((n for n in (2, 3) if _is_share(scaled, whole, n)), 4)
    power = f"{scaled:.{digits}f}"
    return f"e^({power} − ln Σ) = e^({power} − {whole:.{digits}f})"


def _is_share(scaled: float, whole: float, digits: int) -> bool:
    """Whether the powers written with so many digits give the share, in tenths of a percent."""
    written = float(f"{scaled:.{digits}f}") - float(f"{whole:.{digits}f}")
    return bool(abs(np.exp(written) - np.exp(scaled - whole)) < 0.0005)


def _amount(number: float) -> str:
    return f"{number:.3g}" if number < 999.5 else f"{number:,.0f}"


def _because(state: ExplorerState) -> str:
    if state.mask == "model" or not state.call.live:
        return "under the model's own mask"
    label = next(row.label for row in MASKS if row.kind == state.mask)
    length = f" (pad length {state.pad_len})" if "padding" in state.mask else ""
    return f"under the {label} mask{length}"
