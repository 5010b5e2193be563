"""Work of a page in a thread of its own: the page stays alive, and the newest work wins."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from attnpanel.to_page import ToPage

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_LETTERS = 500


class PageWork:
    """One piece of work at a time; what an older one still has to say is past.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._number = 0

    def start(
        self,
        work: Callable[[Callable[[str], None]], Any],
        *,
        done: Callable[[Any], None],
        failed: Callable[[str], None],
        told: Callable[[str], None],
    ) -> None:
        """Begin, in place of what is going on.

        Parameters
        ----------
        work : callable
            Takes a function that tells how far it is; runs in a thread.
        done : callable
            Takes what `work` gives, on the page.
        failed : callable
            Takes a sentence, on the page.
        told : callable
            Takes what `work` tells, on the page.
        """
        self._number += 1
        number, to_page = self._number, ToPage()

        def on_page(action: Callable[[Any], None], content: Any) -> None:
            def guarded() -> None:
                if number == self._number:
                    action(content)

            to_page(guarded)

        def finished(action: Callable[[Any], None]) -> Callable[[Any], None]:
            def finish(content: Any) -> None:
                self._number += 1  # what the thread still had to tell is past
                action(content)

            return finish

        def run() -> None:
            try:
                made = work(lambda text: on_page(told, text))
            except Exception as error:  # noqa: BLE001 - whatever a model raises, the page lives on
                on_page(finished(failed), as_sentence(error))
            else:
                on_page(finished(done), made)

        threading.Thread(target=run, name=self._name, daemon=True).start()

    def abandon(self) -> None:
        """Show nothing of what is going on."""
        self._number += 1


def as_sentence(error: Exception) -> str:
    """Return an error as one readable sentence, with a capital and a full stop."""
    text = str(error).strip().splitlines()[0][:MOST_LETTERS] if str(error).strip() else repr(error)
    if not isinstance(error, (ValueError, ImportError, OSError)):
        text = f"The model failed: {type(error).__name__}: {text}"
    return f"{text[0].upper()}{text[1:].rstrip('.')}."
