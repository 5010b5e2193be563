"""The boxes to type texts for the model in a file, and the model as elements of that file."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import param

from attnpanel.ui.components import MessagingComponent, bundle
from attnpanel.ui.libraries import deflated

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bytes of weights in one element: a browser holds its text three times for a moment.
PART_BYTES = 3 * 2**20
ELEMENT = '<script type="application/octet-stream" {attribute}>{content}</script>\n'


class PromptBox(MessagingComponent):
    """A box to type a text in; the model in the file computes its attention.

    Sends ``{"typed": …}`` with a trace to the driver, which sets `wanted` where a link has a
    prompt.
    """

    name_of_model = param.String(default="", doc="What the model is called.")
    about = param.String(default="", doc="What is said about the model and its error.")
    prompt = param.String(default="", doc="The text of the report's own trace; empty if unknown.")
    limit = param.Integer(default=1, bounds=(1, None), doc="The most tokens that the model reads.")
    next_tokens = param.Integer(
        default=0, bounds=(0, None), doc="How many tokens it gives scores of; 0: it does not write."
    )
    wanted = param.Dict(default={}, doc="The prompt of a link, and its other choices; by the page.")
    place = param.Dict(default={}, doc="Layer, head and token on screen; by the page.")

    _esm = bundle("prompt_box")


class PromptPair(MessagingComponent):
    """A box to type two texts in, which the model in the file compares.

    Sends ``{"typed": …}`` with two traces to the driver, which sets `wanted` for a link with texts.
    """

    name_of_model = param.String(default="", doc="What the model is called.")
    about = param.String(default="", doc="What is said about the model and its error.")
    prompts = param.List(default=["", ""], bounds=(2, 2), item_type=str, doc="The file's texts.")
    limit = param.Integer(default=1, bounds=(1, None), doc="The most tokens that the model reads.")
    wanted = param.Dict(default={}, doc="The texts of a link, and its other choices; by the page.")

    _esm = bundle("prompt_pair")


def model_elements(description: dict[str, Any], data: bytes) -> Iterator[str]:
    """Return a model as elements for the end of a file, where js/live_model/page_side.js finds it.

    Parameters
    ----------
    description, data
        See :class:`attnpanel.models.live_model.StoredModel`.
    """
    for name, text in (
        ("attnpanel-model-worker", bundle("live_model")),
        ("attnpanel-model", json.dumps(description, separators=(",", ":"))),
    ):
        yield ELEMENT.format(attribute=f'id="{name}"', content=deflated(text))
    for start in range(0, len(data), PART_BYTES):
        part = b64encode(data[start : start + PART_BYTES]).decode("ascii")
        yield ELEMENT.format(attribute="data-attnpanel-weights", content=part)
    yield ELEMENT.format(attribute='id="attnpanel-model-end"', content="")
