"""The checks: each reads the shown head's weights, as the picture shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.analysis import effective_keys, first_key, previous_token
from attnpanel.exercises.exercise import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnpanel.state import ExplorerState

HALF_WITHIN = 0.02  # a step of the slider changes the weight by 0.05
MOST_OF_IT = 0.5
SINK = 0.75
PRONOUN = 0.4
NEARLY_ALL = 7.0


def half_on_itself(state: ExplorerState) -> Verdict:
    """Whether token 2 gives half of its weight to itself."""
    weight = float(_weights(state)[2, 2])
    said = f"token 2 gives {_percent(weight)} of its weight to itself"
    return _verdict(abs(weight - 0.5) <= HALF_WITHIN, said, "it should be 50 %, within 2 points")


def shared_by_all(state: ExplorerState) -> Verdict:
    """Whether a token shares its weight among nearly all of the eight."""
    if state.mask != "none":
        return Verdict(solved=False, words="Not yet: do it without a mask, by temperature alone.")
    among = effective_keys(_weights(state))
    said = f"on average a token shares its weight among {among:.2f} of 8 tokens"
    return _verdict(among >= NEARLY_ALL, said, "it should be 7 or more")


def first_sees_itself_only(state: ExplorerState) -> Verdict:
    """Whether the first token sees itself alone while the last one sees all."""
    seen = state.selection.visible
    first, last = int(seen[0].sum()), int(seen[-1].sum())
    said = f"t0 may see {_tokens(first)}, the last token {_tokens(last)}"
    alone = first == 1 and bool(seen[0, 0])
    return _verdict(alone and bool(seen[-1].all()), said, "they should see 1 and all 8")


def some_row_is_empty(state: ExplorerState) -> Verdict:
    """Whether a query may see no key."""
    empty = int(state.selection.empty.sum())
    said = "every token may see a key" if empty == 0 else f"{_tokens(empty)} may see no key"
    return _verdict(empty > 0, said, "one token at least should see none")


def looks_one_back(state: ExplorerState) -> Verdict:
    """Whether the shown head is one that looks at the token before."""
    share = previous_token(_weights(state))
    said = f"{_head(state)} gives {_percent(share)} of its weight to the token before, on average"
    return _verdict(share >= MOST_OF_IT and _is_own(state), said, _own(state, "more than half"))


def looks_one_ahead(state: ExplorerState) -> Verdict:
    """Whether the shown head is one that looks at the token after."""
    share = float(np.diagonal(_weights(state), offset=1).mean())
    said = f"{_head(state)} gives {_percent(share)} of its weight to the token after, on average"
    return _verdict(share >= MOST_OF_IT and _is_own(state), said, _own(state, "more than half"))


def looks_at_the_first(state: ExplorerState) -> Verdict:
    """Whether the shown head is a sink: most of its weight goes to the first token."""
    share = first_key(_weights(state))
    said = (
        f"{_head(state)} gives {_percent(share)} of its weight to “{state.key_tokens[0]}”, "
        "on average"
    )
    return _verdict(share >= SINK and _is_own(state), said, _own(state, "three quarters"))


def it_finds_the_trophy(state: ExplorerState) -> Verdict:
    """Whether “it” looks at “trophy” more than at anything else, and much."""
    row = _weights(state)[state.query_tokens.index("it")]
    trophy, most = state.key_tokens.index("trophy"), int(row.argmax())
    said = (
        f"in {_head(state)} “it” gives “trophy” {_percent(row[trophy])}, "
        f"and most, {_percent(row[most])}, to “{state.key_tokens[most]}”"
    )
    found = most == trophy and row[trophy] >= PRONOUN and _is_own(state)
    return _verdict(found, said, _own(state, "40 %, and no other token more"))


def _weights(state: ExplorerState) -> NDArray[np.float32]:
    return np.nan_to_num(state.selection.weights)


def _is_own(state: ExplorerState) -> bool:
    """Whether one head of the model is shown as the model has it."""
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


def _verdict(solved: bool, said: str, wanted: str) -> Verdict:  # noqa: FBT001 - what was found
    if solved:
        return Verdict(solved=True, words=f"Solved: {said}.")
    return Verdict(solved=False, words=f"Not yet: {said}; {wanted}.")
