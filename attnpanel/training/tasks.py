"""Small tasks that only attention solves: sequences to go on with, and where each answer stands.

A task says what is to be predicted and, where that has a meaning, at which earlier positions a
head finds it. The weight that a head puts there is how far it has learned the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.training.passage import PASSAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


MOST_TEXT: Final = 1_000_000
MOST_CHARACTERS: Final = 256
WINDOW: Final = 64
# The part of a text that is kept from training, for the held-out examples.
HELD_OUT: Final = 0.1
LETTERS: Final = tuple("abcdefghijkl")
SYMBOLS: Final = tuple("abcdefghijklmnop")
MODULUS: Final = 13


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch of sequences.

    Attributes
    ----------
    tokens : int64 array of shape (B, T + 1)
        The model reads the first T; position t is to predict token t + 1.
    scored : bool array of shape (B, T)
        The positions whose prediction counts: the others can't be known.
    """

    tokens: NDArray[np.int64]
    scored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Task:
    """A task, and what is to be seen in it.

    Attributes
    ----------
    name, title : str
    teaches : str
        What attention has to do, in a sentence.
    vocabulary : tuple of str
        The tokens' texts.
    length : int
        T, what the model reads.
    draw : function of a random generator and a number of sequences
        Returns that many training :class:`Examples`.
    draw_held_out : the same
        Returns others, never trained on where the task has so many.
    answers : function of one sequence's tokens (T + 1,) and scored (T,), or None
        Returns a bool array (T, T): True where a query finds its answer. None for a task in
        which the answer stands nowhere.
    """

    name: str
    title: str
    teaches: str
    vocabulary: tuple[str, ...]
    length: int
    draw: Callable[[np.random.Generator, int], Examples]
    draw_held_out: Callable[[np.random.Generator, int], Examples]
    answers: Callable[[NDArray[np.int64], NDArray[np.bool_]], NDArray[np.bool_]] | None

    def words(self, tokens: NDArray[np.int64]) -> list[str]:
        """Return the texts of tokens, with blanks made visible."""
        shown = {" ": "␣", "\n": "↵", "\t": "⇥"}
        return [shown.get(self.vocabulary[token], self.vocabulary[token]) for token in tokens]

    def tokens_of(self, text: str) -> list[int]:
        """Return the numbers of a text's tokens: letters in the task ``text``, else words.

        Raises
        ------
        ValueError
            If there are none or too many, or one is not in the vocabulary.
        """
        pieces = list(text) if self.name == "text" else text.split()
        if not 1 <= len(pieces) <= self.length:
            raise ValueError(
                f"a text for this model must have 1 to {self.length} tokens; got {len(pieces)}"
            )
        numbers = {token: number for number, token in enumerate(self.vocabulary)}
        strange = [piece for piece in pieces if piece not in numbers]
        if strange:
            parted = "" if self.name == "text" else ", parted by blanks"
            raise ValueError(
                f"a text for this model must be made of {' '.join(self.vocabulary)}{parted}; "
                f"got {strange[0][:40]!r}"
            )
        return [numbers[piece] for piece in pieces]


def make_task(name: str, text: str | None = None) -> Task:
    """Return a task by its name.

    Parameters
    ----------
    name : str
        One of `TASK_NAMES`.
    text : str, optional
        What the task ``text`` learns; by default the opening of a book.

    Raises
    ------
    ValueError
        If there is no such task, or the text is too short, too long or not text.
    """
    if name == "text":
        return _text_task(PASSAGE if text is None else text)
    for task in TASKS:
        if task.name == name:
            return task
    raise ValueError(f"a task must be one of {', '.join(TASK_NAMES)}; got {name!r}")


def read_text(data: bytes) -> str:
    """Return a file's content as the text to learn.

    Raises
    ------
    ValueError
        If it is empty, too short, too long, or not UTF-8 text.
    """
    if len(data) > 4 * MOST_TEXT:
        raise ValueError(
            f"a text may have at most {MOST_TEXT:,} characters; got {len(data):,} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"a text file must be UTF-8; byte {error.start:,} of this one is not"
        ) from None
    check_text_to_learn(text)
    return text


def check_text_to_learn(text: str) -> None:
    """Refuse a text that can't be learned from, in a sentence."""
    if not text.strip():
        raise ValueError("a text to learn must not be empty")
    if "\0" in text:
        raise ValueError("a text file must hold text; this one holds zero bytes")
    least = int(2 * (WINDOW + 1) / HELD_OUT)
    if not least <= len(text) <= MOST_TEXT:
        raise ValueError(
            f"a text to learn must have {least:,} to {MOST_TEXT:,} characters; got {len(text):,}"
        )
    different = len(set(text))
    if different > MOST_CHARACTERS:
        raise ValueError(
            f"a text to learn must have at most {MOST_CHARACTERS} different characters; "
            f"got {different}"
        )


# -- drawing sequences -----------------------------------------------------------------------


def _after_bar(count: int, letters: int, rewrite: Callable[[Any], Any]) -> Any:
    """Return what draws `count` letters, a bar, and the same letters rewritten.

    They are all different, so that each answer stands at one place.
    """

    def draw(rng: np.random.Generator, batch: int) -> Examples:
        rows = rng.permuted(np.tile(np.arange(letters), (batch, 1)), axis=1)[:, :count]
        bar = np.full((batch, 1), letters)
        tokens = np.concatenate([rows, bar, rewrite(rows)], axis=1).astype(np.int64)
        scored = np.broadcast_to(np.arange(2 * count) >= count, (batch, 2 * count))
        return Examples(tokens, scored)

    return draw


def _induction(rng: np.random.Generator, batch: int) -> Examples:
    """A row of different symbols, repeated to the end: A B … A → B.

    How long the row is differs, so that no position tells the answer: a head must find the symbol.
    """
    length = 32
    period = rng.integers(6, len(SYMBOLS) + 1, (batch, 1))
    rows = rng.permuted(np.tile(np.arange(len(SYMBOLS)), (batch, 1)), axis=1)
    places = np.arange(length + 1) % period
    tokens = np.take_along_axis(rows, places, axis=1).astype(np.int64)
    return Examples(tokens, np.arange(length) >= period)


def _modular_sum(rng: np.random.Generator, batch: int) -> Examples:
    """Draw a + b = c, where c is the sum's remainder."""
    a, b = rng.integers(0, MODULUS, (2, batch))
    plus, equals = np.full(batch, MODULUS), np.full(batch, MODULUS + 1)
    tokens = np.stack([a, plus, b, equals, (a + b) % MODULUS], axis=1).astype(np.int64)
    return Examples(tokens, np.broadcast_to(np.arange(4) == 3, (batch, 4)))


def _text_task(text: str) -> Task:
    check_text_to_learn(text)
    vocabulary = tuple(sorted(set(text)))
    numbers = {character: number for number, character in enumerate(vocabulary)}
    codes = np.array([numbers[character] for character in text], dtype=np.int64)
    border = len(codes) - int(len(codes) * HELD_OUT)

    def windows(part: NDArray[np.int64]) -> Any:
        def draw(rng: np.random.Generator, batch: int) -> Examples:
            starts = rng.integers(0, len(part) - WINDOW, batch)
            tokens = part[starts[:, None] + np.arange(WINDOW + 1)]
            return Examples(tokens, np.ones((batch, WINDOW), dtype=np.bool_))

        return draw

    return Task(
        "text",
        "Character text",
        "Guess the next letter from those before: words begin to be spelled, and heads begin to "
        "look at the letter before and at the start of the word.",
        vocabulary,
        WINDOW,
        windows(codes[:border]),
        windows(codes[border:]),
        None,
    )


# -- where the answer stands -----------------------------------------------------------------


def _same_token(tokens: NDArray[np.int64], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Earlier positions that hold the token to be predicted."""
    keys, wanted = tokens[:-1], tokens[1:]
    seen = np.tril(np.ones((len(keys), len(keys)), dtype=np.bool_))
    found: NDArray[np.bool_] = scored[:, None] & seen & (keys[None, :] == wanted[:, None])
    return found


def _summands(tokens: NDArray[np.int64], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    numbers: NDArray[np.bool_] = np.arange(len(tokens) - 1) % 2 == 0
    found: NDArray[np.bool_] = scored[:, None] & numbers[None, :]
    return found


def _task(name: str, title: str, teaches: str, vocabulary: tuple[str, ...], **parts: Any) -> Task:
    draw = parts["draw"]
    return Task(
        name,
        title,
        teaches,
        vocabulary,
        parts["length"],
        draw,
        draw,
        parts.get("answers", _same_token),
    )


TASKS: Final[tuple[Task, ...]] = (
    _task(
        "copy",
        "Copy",
        "Say the same again: a head must look as far back as the row is long.",
        (*LETTERS, "|"),
        length=16,
        draw=_after_bar(8, len(LETTERS), lambda rows: rows),
    ),
    _task(
        "reverse",
        "Reverse",
        "Say it backwards: each step looks one further back than the step before.",
        (*LETTERS, "|"),
        length=16,
        draw=_after_bar(8, len(LETTERS), lambda rows: rows[:, ::-1]),
    ),
    _task(
        "induction",
        "Induction",
        "A B … A → B: one head tells every token what stands before it, a second finds the place "
        "where that was the present token.",
        SYMBOLS,
        length=32,
        draw=_induction,
    ),
    _task(
        "sort",
        "Sort",
        "Put letters in order: each step looks for the next larger one.",
        (*LETTERS, "|"),
        length=16,
        draw=_after_bar(8, len(LETTERS), lambda rows: np.sort(rows, axis=1)),
    ),
    _task(
        "modular_sum",
        "Modular sum",
        f"a + b, modulo {MODULUS}: the last position must read both numbers.",
        (*map(str, range(MODULUS)), "+", "="),
        length=4,
        draw=_modular_sum,
        answers=_summands,
    ),
    _text_task(PASSAGE),
)
TASK_NAMES: Final = tuple(task.name for task in TASKS)
