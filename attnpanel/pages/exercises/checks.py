"""Checks of the exercises: each reads the weights of the head on screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnpanel.analysis import effective_keys, first_key, previous_token
from attnpanel.pages.exercises.exercise import Verdict
from attnpanel.ui.words import t

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
    finding = t("token 2 gives {share} of its weight to itself", share=_percent(weight))
    return _verdict(
        abs(weight - 0.5) <= HALF_TOLERANCE, finding, t("it should be 50 %, within 2 points")
    )


def shared_by_all(state: ExplorerState) -> Verdict:
    """Check that on average a token spreads its weight over at least 7 of 8 tokens."""
    if state.mask != "none":
        return Verdict(solved=False, text=t("Not yet: do it without a mask, by temperature alone."))
    count = effective_keys(_weights(state))
    finding = t(
        "on average a token shares its weight among {count} of 8 tokens", count=f"{count:.2f}"
    )
    return _verdict(count >= EFFECTIVE_KEYS, finding, t("it should be 7 or more"))


def first_sees_itself_only(state: ExplorerState) -> Verdict:
    """Check that the first token sees only itself and the last one sees all."""
    visible = state.selection.visible
    first, last = int(visible[0].sum()), int(visible[-1].sum())
    finding = t(
        "t0 may see {first}, the last token {last}", first=_tokens(first), last=_tokens(last)
    )
    only_itself = first == 1 and bool(visible[0, 0])
    return _verdict(
        only_itself and bool(visible[-1].all()), finding, t("they should see 1 and all 8")
    )


def some_row_is_empty(state: ExplorerState) -> Verdict:
    """Check that some query may see no key."""
    empty = int(state.selection.empty.sum())
    blind = t("{tokens} may see no key", tokens=_tokens(empty))
    finding = t("every token may see a key") if empty == 0 else blind
    return _verdict(empty > 0, finding, t("one token at least should see none"))


def looks_one_back(state: ExplorerState) -> Verdict:
    """Check that the head on screen attends mostly to the previous token."""
    share = previous_token(_weights(state))
    finding = t(
        "{head} gives {share} of its weight to the token before, on average",
        head=_head(state),
        share=_percent(share),
    )
    return _verdict(
        share >= NEIGHBOUR_SHARE and _is_own(state),
        finding,
        _own(state, t("it should be more than half")),
    )


def looks_one_ahead(state: ExplorerState) -> Verdict:
    """Check that the head on screen attends mostly to the next token."""
    share = float(np.diagonal(_weights(state), offset=1).mean())
    finding = t(
        "{head} gives {share} of its weight to the token after, on average",
        head=_head(state),
        share=_percent(share),
    )
    return _verdict(
        share >= NEIGHBOUR_SHARE and _is_own(state),
        finding,
        _own(state, t("it should be more than half")),
    )


def looks_at_the_first(state: ExplorerState) -> Verdict:
    """Check that the head on screen is a sink: most of its weight goes to the first token."""
    share = first_key(_weights(state))
    finding = t(
        "{head} gives {share} of its weight to “{token}”, on average",
        head=_head(state),
        share=_percent(share),
        token=state.key_tokens[0],
    )
    return _verdict(
        share >= SINK_SHARE and _is_own(state),
        finding,
        _own(state, t("it should be three quarters")),
    )


def it_finds_the_trophy(state: ExplorerState) -> Verdict:
    """Check that “it” attends to “trophy” by 40 % or more, and to no token more."""
    row = _weights(state)[state.query_tokens.index("it")]
    trophy, largest = state.key_tokens.index("trophy"), int(row.argmax())
    finding = t(
        "in {head} “it” gives “trophy” {share}, and most, {most}, to “{token}”",
        head=_head(state),
        share=_percent(row[trophy]),
        most=_percent(row[largest]),
        token=state.key_tokens[largest],
    )
    solved = largest == trophy and row[trophy] >= PRONOUN_SHARE and _is_own(state)
    return _verdict(solved, finding, _own(state, t("it should be 40 %, and no other token more")))


def _weights(state: ExplorerState) -> NDArray[np.float32]:
    return np.nan_to_num(state.selection.weights)


def _is_own(state: ExplorerState) -> bool:
    """Whether one head is on screen at temperature 1 and under the model's own mask."""
    return not state.aggregate and state.mask == "model" and state.temperature == 1.0


def _own(state: ExplorerState, wanted: str) -> str:
    if _is_own(state):
        return wanted
    return t("show one head at temperature 1 and under the model's own mask")


def _head(state: ExplorerState) -> str:
    mean = state.aggregate
    which = t("the mean of all heads") if mean else t("head {head}", head=state.head)
    return f"{t('layer {number}', number=state.layer)}, {which}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tokens(count: int) -> str:
    return t("1 token") if count == 1 else t("{count} tokens", count=count)


def _verdict(solved: bool, finding: str, wanted: str) -> Verdict:  # noqa: FBT001 - what was found
    if solved:
        return Verdict(solved=True, text=t("Solved: {finding}.", finding=finding))
    return Verdict(
        solved=False, text=t("Not yet: {finding}; {wanted}.", finding=finding, wanted=wanted)
    )
