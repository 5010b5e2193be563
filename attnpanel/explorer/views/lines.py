"""Lines from token to token, several heads in colours; known from BertViz."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnpanel.analysis.query_blocks import select_queries
from attnpanel.explorer.selection import select_rows
from attnpanel.explorer.views.drawing import Drawing, Outline, shorten
from attnpanel.ui.theme import HEAD_COLOURS, theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState

# Lines of more tokens are no picture: then those of one token are drawn.
MAX_TOKENS = 64
# More can't be told apart.
MAX_LINES = 200
# How opaque lines of other tokens are beside those of the selected one.
PALE = 0.25
# The part of a token's height that lines of several heads stand on, so that none hides another.
SPREAD = 0.6
# Fainter lines can't be seen.
LEAST_WEIGHT = np.float32(0.01)
MAX_HEADS = len(HEAD_COLOURS)
THINNEST, WIDEST = 0.5, 4.0  # pixels at weights 0 and 1
# Tokens up to which each has its label; pixels that a token and a label take.
MAX_LABELLED, TOKEN, LABEL = MAX_TOKENS, 20, 13
# Pixels of the plot; a long text has the lines of one token, for which less is enough.
SHORTEST, TALLEST, TALLEST_OF_LONG = 120, 960, 640
# Queries stand at 0 and keys at 1; the labels are beside them, with room for them where the plot
# is narrowest (pixels of the plot, of a letter and beside the text).
NARROW, LETTER, BESIDE = 274, 7, 8
GAP, LETTERS, LETTERS_BESIDE_NUMBER, NUMBER = 0.03, 10, 6, 5
MASKED = "✕ "
# The heads' numbers in their colours stand above the tokens, this share of TOKEN above the first.
HEADS_ABOVE, TOP_ABOVE = 0.6, 1.2
SWATCH = "■"
QUERY, KEY = 0, 1

Focus = tuple[int, int]


def shown_heads(state: ExplorerState) -> tuple[int, ...]:
    """Return the heads whose lines are drawn: the chosen ones of the layer, else the first 12."""
    heads = range(state.call.heads)
    return (tuple(head for head in state.line_heads if head in heads) or tuple(heads))[:MAX_HEADS]


def line_focus(state: ExplorerState) -> Focus | None:
    """Return (side, index) of the token whose lines alone are drawn; None draws all."""
    call, is_long = state.call, _is_long(state)
    if state.line_token is not None:
        side, index = state.line_token
        lengths = {QUERY: call.query_len} if is_long else {QUERY: call.query_len, KEY: call.key_len}
        if index in range(lengths.get(side, 0)):
            return side, index
    return (QUERY, state.query_index) if is_long or state.lines_of_token else None


def line_weights(
    state: ExplorerState, queries: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Compute the weights of some queries in each shown head.

    Parameters
    ----------
    state : ExplorerState
    queries : int array of shape (R,)

    Returns
    -------
    weights : float32 array of shape (heads, R, S)
    visible : bool array of shape (heads, R, S)
    """
    call, rule = state.call, state.mask_rule(state.call)
    part = replace(select_queries(call, queries), value=None)
    keys = np.arange(call.key_len)
    mask = None if rule is None else np.asarray(rule.sees(queries[:, None], keys))
    if mask is not None:
        mask = np.broadcast_to(mask, (len(queries), call.key_len))
    blocks = [
        select_rows(
            part,
            head,
            state.batch,
            mask=mask,
            temperature=state.temperature,
            empty_rows=state.empty_rows,
        )
        for head in shown_heads(state)
    ]
    return np.stack([b.weights for b in blocks]), np.stack([b.visible for b in blocks])


def lines_drawing(state: ExplorerState) -> Drawing:
    """Draw a line for each weight: its colour is the head, its width and opacity the weight.

    Of many the heaviest are drawn, and all of the selected token, above the others, which are pale.
    """
    focus = line_focus(state)
    one_query = focus is not None and focus[0] == QUERY
    queries = np.array([focus[1]]) if focus and one_query else np.arange(state.call.query_len)
    weights, visible = line_weights(state, queries)
    drawn = weights >= LEAST_WEIGHT  # not where nan
    if focus and not one_query:
        drawn[:, :, np.arange(weights.shape[-1]) != focus[1]] = False
    at = np.argwhere(drawn)
    kept = _heaviest(weights[drawn])
    if focus is None:
        own = at[:, 1] == state.query_index
        kept = np.concatenate([np.flatnonzero(kept & ~own), np.flatnonzero(own)])
    at = at[kept]
    return _drawing_of(state, focus, queries, (weights, visible), at)


def empty_lines_drawing(state: ExplorerState) -> Drawing:
    """Draw the tokens without a line; the page computes those."""
    shape = (1, state.call.query_len, state.call.key_len)
    numbers = np.broadcast_to(np.float32(0), shape), np.broadcast_to(np.True_, shape)
    return _drawing_of(state, None, np.arange(shape[1]), numbers, np.empty((0, 3), dtype=int))


def _heaviest(weights: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of the lines are the heaviest."""
    kept: NDArray[np.bool_] = np.zeros(len(weights), dtype=bool)
    kept[np.argsort(-weights, kind="stable")[:MAX_LINES]] = True
    return kept


def _drawing_of(
    state: ExplorerState,
    focus: Focus | None,
    queries: NDArray[Any],
    numbers: tuple[NDArray[Any], NDArray[Any]],
    at: NDArray[Any],
) -> Drawing:
    weights, visible = numbers
    palette, call, heads = theme(state.dark), state.call, shown_heads(state)
    tokens, offset = (state.query_tokens, state.key_tokens), _offset(state)
    rows = _rows(state)
    tallest = TALLEST_OF_LONG if _is_long(state) else TALLEST
    height = TOKEN + int(np.clip(TOKEN * rows, SHORTEST, tallest))
    # Where tokens are close, TOKEN is the height of several.
    per_token = max(1.0, TOKEN * rows / tallest)
    heads_at, top = (-0.5 - above * per_token for above in (HEADS_ABOVE, TOP_ABOVE))
    room = _room(state)
    head, row, key = at.T
    query = queries[row]
    weight = weights[head, row, key]
    beside = _spread(len(heads), -SPREAD / 2, SPREAD / 2)
    strong = np.where((query == state.query_index) | (focus is not None), 1.0, PALE)
    head_numbers = state.trace.head_numbers(call)
    colours = [HEAD_COLOURS[_colour_of(heads, rank, call.heads)] for rank in range(len(heads))]
    strengths: list[NDArray[Any] | None] = [None, None]
    if focus is not None:
        other = 1 - focus[0]
        part = weights[:, 0, :] if other == KEY else weights[:, :, focus[1]]
        strengths[other] = np.nan_to_num(part).max(axis=0)
    looks = _looks(np.asarray(visible.any(axis=0)), focus, call.query_len)
    gap = 0.0 if rows <= MAX_LABELLED else LABEL * (rows - 0.5 - top) / height
    sides = [
        _labels(
            tokens[side],
            side=side,
            offset=offset if side == QUERY else 0,
            focus=None if focus is None else focus[1] if focus[0] == side else -1,
            strength=strengths[side],
            seen=looks[side],
            gap=gap,
            inks=(palette.ink, palette.muted, palette.accent),
        )
        for side in (QUERY, KEY)
    ]
    return Drawing(
        {
            "attn:lines": {
                "left": np.zeros(len(at)),
                "bottom": query + offset + beside[head],
                "right": np.ones(len(at)),
                "top": key + beside[head],
                "color": [colours[rank] for rank in head],
                "weight": weight,
                "alpha": strong * weight,
                "width": THINNEST + (WIDEST - THINNEST) * weight.astype(float),
                "head": [head_numbers[heads[rank]] for rank in head],
                "query": [f"{i} · {tokens[QUERY][i]}" for i in query],
                "key": [f"{j} · {tokens[KEY][j]}" for j in key],
            },
            "attn:lines:queries": sides[QUERY],
            "attn:lines:keys": sides[KEY],
            "attn:lines:heads": {
                "x": _spread(len(heads), -room, 1 + room),
                "y": np.full(len(heads), heads_at),
                "text": [f"{SWATCH}{head_numbers[head]}" for head in heads],
                "color": colours,
            },
        },
        x=(-room, 1 + room),
        y=(rows - 0.5, top),
        outline=query_outline(state),
        height=height,
        theme=palette,
    )


def _looks(
    seen: NDArray[Any], focus: Focus | None, query_len: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return which queries see a key, that of the focus if it is one, and which keys are seen."""
    if focus is not None and focus[0] == QUERY:
        return np.ones(query_len, dtype=bool), np.asarray(seen[0])
    looks = seen.any(axis=1) if focus is None else seen[:, focus[1]]
    return np.asarray(looks), np.asarray(seen.any(axis=0))


def query_outline(state: ExplorerState) -> Outline:
    """Return the box around the selected query's label."""
    row = state.query_index + _offset(state)
    return (-_room(state), 0.0, row - 0.5, row + 0.5)


def _room(state: ExplorerState) -> float:
    """Return the room of a label, as a part of the lines' width; it does not change with focus."""
    longest = max(map(len, (*state.query_tokens, *state.key_tokens)))
    letters = NUMBER + min(longest, LETTERS_BESIDE_NUMBER)
    pixels = LETTER * max(letters, min(longest, LETTERS)) + BESIDE
    return pixels / (NARROW - 2 * pixels)


def _offset(state: ExplorerState) -> int:
    """Return the key that the first query stands at."""
    return state.call.q_offset if state.call.kind == "self" else 0


def _is_long(state: ExplorerState) -> bool:
    return max(state.call.query_len, state.call.key_len) > MAX_TOKENS


def _rows(state: ExplorerState) -> int:
    return max(state.call.query_len + _offset(state), state.call.key_len)


def _spread(count: int, low: float, high: float) -> NDArray[np.float64]:
    """Return the middles of equal parts of a span."""
    return low + (high - low) * (np.arange(count) + 0.5) / count


def _colour_of(heads: Sequence[int], rank: int, count: int) -> int:
    """Return a head's place in the palette: its own, unless the layer has more heads than it."""
    return heads[rank] if count <= MAX_HEADS else rank


def _labels(
    tokens: Sequence[str],
    *,
    side: int,
    offset: int,
    focus: int | None,
    strength: NDArray[Any] | None,
    seen: NDArray[np.bool_],
    gap: float,
    inks: tuple[str, str, str],
) -> dict[str, Any]:
    """Return the labels of one side.

    `focus` is the token of this side whose lines are drawn, -1 for one of the other side, or None;
    `strength` is the largest weight of each token then.
    """
    ink, muted, accent = inks
    order: Iterable[int] = range(len(tokens))
    if strength is not None:
        order = np.argsort(-strength, kind="stable")
    elif focus is not None:
        order = [focus, *(at for at in order if at != focus)]
    texts, colours, shown = [], [], _spaced(order, gap)
    for at in shown:
        heavy = strength is not None and strength[at] >= LEAST_WEIGHT
        name = shorten(tokens[at], LETTERS_BESIDE_NUMBER if heavy else LETTERS)
        parts = [f"{strength[at]:.2f}", name] if heavy and strength is not None else [name]
        text = " ".join(parts if side == KEY else parts[::-1])
        texts.append(text if seen[at] else MASKED + text)
        plain = ink if seen[at] and (focus is None or heavy) else muted
        colours.append(accent if focus == at else plain)
    return {
        "x": np.full(len(shown), -GAP if side == QUERY else 1 + GAP),
        "y": np.array(shown, dtype=float) + offset,
        "text": texts,
        "color": colours,
    }


def _spaced(order: Iterable[int], gap: float) -> list[int]:
    """Return those of the positions, first ones first, that stand far enough apart; ascending."""
    kept: list[int] = []
    for at in order:
        if all(abs(at - other) >= gap for other in kept):
            kept.append(int(at))
    return sorted(kept)
