"""The card in which a prompt's model writes on."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from attnpanel.models.continuation import WritingChoices
from attnpanel.ui.layout import box
from attnpanel.ui.writing_component import ServedWriting

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnpanel.models.continuation import Writer, WrittenText, WrittenToken


class Writing:
    """A text while it is written: a thread puts tokens in, the page's session takes them out.

    Attributes
    ----------
    number : int
        Counts the page's texts.
    text : str
    choices : WritingChoices
    writer : Writer or None
        What is to be known of its model, set before the first token.
    begun, complete : bool
        Whether the page shows it, and all of it.
    """

    def __init__(self, number: int, text: str, choices: WritingChoices) -> None:
        self.number, self.text, self.choices = number, text, choices
        self.writer: Writer | None = None
        self.begun = self.complete = False
        self._tokens: deque[WrittenToken] = deque()
        self._stopped = threading.Event()

    def put(self, token: WrittenToken) -> None:
        """Hand over a token."""
        self._tokens.append(token)

    def take(self) -> list[WrittenToken]:
        """Return the tokens that came since the last call."""
        return [self._tokens.popleft() for _ in range(len(self._tokens))]

    def stop(self) -> None:
        """End the text with the next token."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether the text is to end."""
        return self._stopped.is_set()


class WritingCard:
    """Lets a reader have a prompt's model write on, and shows each token as it is drawn.

    Hidden unless the model on screen predicts the next token.

    Parameters
    ----------
    explorer_id : str
        Of the explorer in which the attention of a written token is shown.

    Attributes
    ----------
    on_write : callable
        Called with the choices of a reader who wants a text written on; set by its source.
    """

    def __init__(self, explorer_id: str) -> None:
        self.on_write: Callable[[WritingChoices], None] = lambda _choices: None
        self._count = 0
        self._writing: Writing | None = None
        self._component = ServedWriting(
            self._receive,
            explorer_id=explorer_id,
            driver="browser",
            sizing_mode="stretch_width",
            margin=0,
            css_classes=["attn-served-writing"],
        )
        self.view = box(
            box(self._component, css="attn-card"),
            css="attn-above attn-prompt-card",
        )
        self.view.visible = False

    def offer(self, writer: Writer | None) -> None:
        """Show the card for a model that writes; hide it for another."""
        if writer is not None:
            self._component.param.update(
                name_of_model=writer.name, next_tokens=writer.next_tokens, limit=writer.limit
            )
        self.view.visible = writer is not None

    def clear(self) -> None:
        """Forget what was written: another text is on screen."""
        self._writing = None
        self._component.begin({"clear": True})

    def drop_unfinished(self) -> None:
        """Forget a text that another one overtakes."""
        if self._writing is not None and self._writing.begun and not self._writing.complete:
            self.clear()

    def prepare(self, text: str, choices: WritingChoices) -> Writing:
        """Return where the tokens of a text go that is to be written on.

        What was written before stays until its model is known, and for good if it is refused.
        """
        self._count += 1
        self._writing = Writing(self._count, text, choices)
        return self._writing

    def update(self, writing: Writing) -> None:
        """Show the tokens that came since the last call, once the model is known."""
        if writing.writer is None:
            return
        if not writing.begun:
            writing.begun = True
            self.offer(writing.writer)
            about = {"text": writing.text, "choices": asdict(writing.choices)}
            self._component.begin({"begin": writing.number, **about})
        tokens = writing.take()
        if tokens:
            written = [asdict(token) for token in tokens]
            self._component.say({"written": writing.number, "tokens": written})

    def end(self, writing: Writing, text: WrittenText) -> None:
        """Show that a text is complete."""
        content = {
            "tokens": list(text.trace.tokens_of(text.trace.calls[0])[0]),
            "ended": text.ended,
        }
        writing.complete = True
        self._component.say({"end": writing.number, **content})

    def show(self, writing: Writing, *, selects: bool) -> None:
        """Tell the page that the explorer shows the text.

        `selects` has the explorer go to the written token that is looked at.
        """
        self._component.say({"shown": writing.number, "selects": selects})

    def _receive(self, message: dict[str, Any]) -> None:
        if message["stop"]:
            if self._writing is not None:
                self._writing.stop()
        elif self.view.visible:
            names = ("count", "temperature", "top_k", "seed")
            self.on_write(WritingChoices(**{name: message[name] for name in names}))
