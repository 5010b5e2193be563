"""Checks of the exercises: each reads the weights of the head on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.analysis import effective_keys, first_key, previous_token
from attnpanel.pages.exercises.exercise import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.explorer.state import ExplorerState

HALF_TOLERANCE = 0.02  # a step of the slider changes the weight by 0.05
NEIGHBOUR_SHARE = 0.5
SINK_SHARE = 0.75
PRONOUN_SHARE = 0.4
EFFECTIVE_KEYS = 7.0


def half_on_itself(state: ExplorerState) -> Verdict:
    """Check that token 2 gives half of its weight to itself."""
    weight = float(_weights(state)[2, 2])
    finding = f"token 2 gives {_percent(weight)} of its weight to itself"
    return _verdict(
        abs(weight - 0.5) <= HALF_TOLERANCE, finding, "it should be 50 %, within 2 points"
    )


def shared_by_all(state: ExplorerState) -> Verdict:
    """Check that on average a token spreads its weight over at least 7 of 8 tokens."""
    if state.mask != "none":
        return Verdict(solved=False, text="Not yet: do it without a mask, by temperature alone.")
    count = effective_keys(_weights(state))
    finding = f"on average a token shares its weight among {count:.2f} of 8 tokens"
    return _verdict(count >= EFFECTIVE_KEYS, finding, "it should be 7 or more")


def first_sees_itself_only(state: ExplorerState) -> Verdict:
    """Check that the first token sees only itself and the last one sees all."""
    visible = state.selection.visible
    first, last = int(visible[0].sum()), int(visible[-1].sum())
    finding = f"t0 may see {_tokens(first)}, the last token {_tokens(last)}"
    only_itself = first == 1 and bool(visible[0, 0])
    return _verdict(only_itself and bool(visible[-1].all()), finding, "they should see 1 and all 8")


def some_row_is_empty(state: ExplorerState) -> Verdict:
    """Check that some query may see no key."""
    empty = int(state.selection.empty.sum())
    finding = "every token may see a key" if empty == 0 else f"{_tokens(empty)} may see no key"
    return _verdict(empty > 0, finding, "one token at least should see none")


def looks_one_back(state: ExplorerState) -> Verdict:
    """Check that the head on screen attends mostly to the previous token."""
    share = previous_token(_weights(state))
    finding = (
        f"{_head(state)} gives {_percent(share)} of its weight to the token before, on average"
    )
    return _verdict(
        share >= NEIGHBOUR_SHARE and _is_own(state), finding, _own(state, "more than half")
    )


def looks_one_ahead(state: ExplorerState) -> Verdict:
    """Check that the head on screen attends mostly to the next token."""
    share = float(np.diagonal(_weights(state), offset=1).mean())
    finding = f"{_head(state)} gives {_percent(share)} of its weight to the token after, on average"
    return _verdict(
        share >= NEIGHBOUR_SHARE and _is_own(state), finding, _own(state, "more than half")
    )


def looks_at_the_first(state: ExplorerState) -> Verdict:
    """Check that the head on screen is a sink: most of its weight goes to the first token."""
    share = first_key(_weights(state))
    finding = (
        f"{_head(state)} gives {_percent(share)} of its weight to “{state.key_tokens[0]}”, "
        "on average"
    )
    return _verdict(share >= SINK_SHARE and _is_own(state), finding, _own(state, "three quarters"))


def it_finds_the_trophy(state: ExplorerState) -> Verdict:
    """Check that “it” attends to “trophy” by 40 % or more, and to no token more."""
    row = _weights(state)[state.query_tokens.index("it")]
    trophy, largest = state.key_tokens.index("trophy"), int(row.argmax())
    finding = (
        f"in {_head(state)} “it” gives “trophy” {_percent(row[trophy])}, "
        f"and most, {_percent(row[largest])}, to “{state.key_tokens[largest]}”"
    )
    solved = largest == trophy and row[trophy] >= PRONOUN_SHARE and _is_own(state)
    return _verdict(solved, finding, _own(state, "40 %, and no other token more"))


def _weights(state: ExplorerState) -> NDArray[np.float32]:
    return np.nan_to_num(state.selection.weights)


def _is_own(state: ExplorerState) -> bool:
    """Whether one head is on screen at temperature 1 and under the model's own mask."""
    return not state.aggregate and state.mask == "model" and state.temperature == 1.0


def _own(state: ExplorerState, wanted: str) -> str:
    if _is_own(state):
        return f"it should be {wanted}"
    return "show one head at temperature 1 and under the model's own mask"


def _head(state: ExplorerState) -> str:
    which = "the mean of all heads" if state.aggregate else f"head {state.head}"
    return f"layer {state.layer}, {which}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tokens(count: int) -> str:
    return f"{count} token{'s' * (count != 1)}"


def _verdict(solved: bool, finding: str, wanted: str) -> Verdict:  # noqa: FBT001 - what was found
    if solved:
        return Verdict(solved=True, text=f"Solved: {finding}.")
    return Verdict(solved=False, text=f"Not yet: {finding}; {wanted}.")
