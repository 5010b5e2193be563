"""Questions about a layer, and their answers decoded."""

from __future__ import annotations

import base64

from attnpanel.explorer.layer_answers import LayerAnswers
from attnpanel.explorer.state import ExplorerState
from attnpanel.explorer.transport import choices_of
from attnpanel.ui.session_callbacks import SessionScheduler

CAUSAL = {"mask": "causal", "temperature": 0.5, "empty_rows": "zero"}


def asked(trace, kind, *, layers=(0,), **choices):
    """What the page hears of a question that a reader's choices lead to."""
    heard = []
    state = choices_of(ExplorerState(trace)) | {"trace": 1} | choices
    question = {"kind": kind, "id": 7, "layers": list(layers), "state": state}
    LayerAnswers(trace, SessionScheduler(), heard.append).ask(question)
    (answer,) = map(decoded, heard)
    assert (answer["kind"], answer["id"]) == (kind, 7)
    return answer


def decoded(answer):
    """Without a server arrays are text."""
    if not isinstance(answer, dict):
        return answer
    if "base64" in answer:
        return base64.b64decode(answer["base64"])
    return {name: decoded(value) for name, value in answer.items()}


def question(feed, **changes):
    trace = feed.component.meta["trace"]
    state = choices_of(feed.state)
    return {"kind": "row", "id": 1, "layers": [0], "state": state, "trace": trace} | changes
