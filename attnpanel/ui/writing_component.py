"""The card in which a model on the server writes a text on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param

from attnpanel.models.continuation import MAX_SEED, MAX_TEMPERATURE, MAX_WRITTEN
from attnpanel.ui.components import MessagingComponent, bundle
from attnpanel.ui.page_input import PageMessage

if TYPE_CHECKING:
    from collections.abc import Callable


class ServedWriting(MessagingComponent):
    """How a text is written on, and the tokens as Python sends them.

    Sends ``{"token": i}`` to the driver where a written token is chosen.

    Parameters
    ----------
    receive : callable
        Takes each valid message of a reader, as a dict of the fields of `Message`.
    """

    name_of_model = param.String(default="", doc="What the model is called.")
    next_tokens = param.Integer(
        default=0, bounds=(0, None), doc="How many tokens it gives scores of; 0: it does not write."
    )
    limit = param.Integer(default=1, bounds=(1, None), doc="The most tokens that are read.")

    class Message(PageMessage):
        """How a reader wants a text to be written on, or that it is to end."""

        connected = param.Boolean(default=False, doc="Whether the page has just drawn the card.")
        stop = param.Boolean(default=False, doc="Whether what is being written is to end.")
        count = param.Integer(default=1, bounds=(1, MAX_WRITTEN), doc="The most tokens.")
        temperature = param.Number(default=0.0, bounds=(0, MAX_TEMPERATURE))
        top_k = param.Integer(default=1, bounds=(1, 2**31), doc="How many one is drawn from.")
        seed = param.Integer(default=0, bounds=(0, MAX_SEED), doc="Of the random numbers.")

    _esm = bundle("served_writing")

    def __init__(self, receive: Callable[[dict[str, Any]], None], **params: Any) -> None:
        self._receive = receive
        # What the page was told of the text on screen, for a card that is drawn later.
        self._said: list[dict[str, Any]] = []
        self._drawn = False
        super().__init__(**params)

    def begin(self, message: dict[str, Any]) -> None:
        """Tell the page of another text; what was said of the last one is forgotten."""
        self._said = []
        self.say(message)

    def say(self, message: dict[str, Any]) -> None:
        """Tell the page more of its text, as soon as it has drawn the card."""
        self._said.append(message)
        if self._drawn:
            self._send_msg(message)

    def _handle_msg(self, data: dict[str, Any]) -> None:
        if data.get("connected"):
            self._drawn = True
            for message in self._said:
                self._send_msg(message)
        else:
            defaults = {name: self.Message.param[name].default for name in self.Message.param}
            self._receive(defaults | data)
