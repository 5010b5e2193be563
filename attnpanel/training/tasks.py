"""Small tasks that need attention: sequences to continue, and where the answers are.

A task says which tokens are predicted and, if that is defined, at which earlier positions a head
finds each answer. A head's weight there measures how well it has learned the task.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from attnpanel.training import sentence_tasks as sentences
from attnpanel.training.sample_text import SAMPLE_TEXT
from attnpanel.training.training_text import HELD_OUT, WINDOW, check_training_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


LETTERS: Final = tuple("abcdefghijkl")
SYMBOLS: Final = tuple("abcdefghijklmnop")
MODULUS: Final = 13


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch of sequences.

    Attributes
    ----------
    tokens : int64 array of shape (B, T + 1)
        The model reads the first T tokens; position t predicts token t + 1.
    scored : bool array of shape (B, T)
        Positions whose prediction counts; the others cannot be known.
    """

    tokens: NDArray[np.int64]
    scored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Task:
    """A task: its vocabulary, its examples and its answers.

    Attributes
    ----------
    name, title : str
    description : str
        What attention has to do, in a sentence.
    vocabulary : tuple of str
        The text of each token.
    length : int
        T, the number of tokens that the model reads.
    draw : function of a random generator and a number of sequences
        Returns that many training :class:`Examples`.
    draw_held_out : function of the same arguments
        Returns other examples, never trained on if the task has enough of them.
    answers : function of one sequence's tokens (T + 1,) and scored (T,), or None
        Returns a bool array (T, T): True where a query finds its answer. None for a task whose
        answers are at no position.
    """

    name: str
    title: str
    description: str
    vocabulary: tuple[str, ...]
    length: int
    draw: Callable[[np.random.Generator, int], Examples]
    draw_held_out: Callable[[np.random.Generator, int], Examples]
    answers: Callable[[NDArray[np.int64], NDArray[np.bool_]], NDArray[np.bool_]] | None

    @property
    def separated(self) -> bool:
        """Whether its tokens are words, with spaces between them, not the letters of a text."""
        return self.name != "text"

    def labels(self, tokens: NDArray[np.int64]) -> list[str]:
        """Return the texts of tokens, with white space made visible."""
        visible = {" ": "␣", "\n": "↵", "\t": "⇥"}
        return [visible.get(self.vocabulary[token], self.vocabulary[token]) for token in tokens]

    def tokens_of(self, text: str) -> list[int]:
        """Tokenize a text: into letters for the task ``text``, otherwise into words.

        Raises
        ------
        ValueError
            If there are no tokens or too many, or one is not in the vocabulary.
        """
        pieces = text.split() if self.separated else list(text)
        if not 1 <= len(pieces) <= self.length:
            raise ValueError(
                f"a text for this model must have 1 to {self.length} tokens; got {len(pieces)}"
            )
        numbers = {token: number for number, token in enumerate(self.vocabulary)}
        unknown = [piece for piece in pieces if piece not in numbers]
        if unknown:
            separator = ", separated by spaces" if self.separated else ""
            raise ValueError(
                f"a text for this model must be made of {' '.join(self.vocabulary)}{separator}; "
                f"got {unknown[0][:40]!r}"
            )
        return [numbers[piece] for piece in pieces]


def make_task(name: str, text: str | None = None) -> Task:
    """Return the task of a name.

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
        return _text_task(SAMPLE_TEXT if text is None else text)
    for task in TASKS:
        if task.name == name:
            return task
    raise ValueError(f"a task must be one of {', '.join(TASK_NAMES)}; got {name!r}")


def _rewriting(count: int, letters: int, rewrite: Callable[[Any], Any]) -> Any:
    """Return a function that draws `count` letters, a bar, and the same letters rewritten.

    The letters are all different, so that each answer is at one position.
    """

    def draw(rng: np.random.Generator, batch: int) -> Examples:
        rows = rng.permuted(np.tile(np.arange(letters), (batch, 1)), axis=1)[:, :count]
        bar = np.full((batch, 1), letters)
        tokens = np.concatenate([rows, bar, rewrite(rows)], axis=1).astype(np.int64)
        scored = np.broadcast_to(np.arange(2 * count) >= count, (batch, 2 * count))
        return Examples(tokens, scored)

    return draw


def _induction(rng: np.random.Generator, batch: int) -> Examples:
    """Draw a row of different symbols, repeated to the end: A B … A → B.

    The length of the row varies, so that no position tells the answer: a head must find the symbol.
    """
    length = 32
    period = rng.integers(6, len(SYMBOLS) + 1, (batch, 1))
    rows = rng.permuted(np.tile(np.arange(len(SYMBOLS)), (batch, 1)), axis=1)
    columns = np.arange(length + 1) % period
    tokens = np.take_along_axis(rows, columns, axis=1).astype(np.int64)
    return Examples(tokens, np.arange(length) >= period)


def _modular_sum(rng: np.random.Generator, batch: int) -> Examples:
    """Draw a + b = c, where c is the sum modulo `MODULUS`."""
    a, b = rng.integers(0, MODULUS, (2, batch))
    plus, equals = np.full(batch, MODULUS), np.full(batch, MODULUS + 1)
    tokens = np.stack([a, plus, b, equals, (a + b) % MODULUS], axis=1).astype(np.int64)
    return Examples(tokens, np.broadcast_to(np.arange(4) == 3, (batch, 4)))


@lru_cache(maxsize=2)  # a text of a million letters takes 0.1 s, each time that the page asks
def _text_task(text: str) -> Task:
    check_training_text(text)
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


def _same_token(tokens: NDArray[np.int64], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the earlier positions that hold the token to be predicted, (T, T)."""
    keys, wanted = tokens[:-1], tokens[1:]
    earlier = np.tril(np.ones((len(keys), len(keys)), dtype=np.bool_))
    found: NDArray[np.bool_] = scored[:, None] & earlier & (keys[None, :] == wanted[:, None])
    return found


def _summands(tokens: NDArray[np.int64], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the positions of both summands, (T, T)."""
    numbers: NDArray[np.bool_] = np.arange(len(tokens) - 1) % 2 == 0
    found: NDArray[np.bool_] = scored[:, None] & numbers[None, :]
    return found


def _task(
    name: str, title: str, description: str, vocabulary: tuple[str, ...], **parts: Any
) -> Task:
    draw = parts["draw"]
    return Task(
        name,
        title,
        description,
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
        draw=_rewriting(8, len(LETTERS), lambda rows: rows),
    ),
    _task(
        "reverse",
        "Reverse",
        "Say it backwards: each step looks one further back than the step before.",
        (*LETTERS, "|"),
        length=16,
        draw=_rewriting(8, len(LETTERS), lambda rows: rows[:, ::-1]),
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
        draw=_rewriting(8, len(LETTERS), lambda rows: np.sort(rows, axis=1)),
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
    _task(
        "indirect_object",
        "Indirect object",
        "Two names, one of which comes again: the last word is the other one. A head reads the "
        "name that comes again, heads of the next layer bring the other one.",
        sentences.IOI_WORDS,
        length=sentences.IOI_LENGTH,
        draw=lambda rng, batch: Examples(*sentences.draw_indirect_objects(rng, batch)),
    ),
    _task(
        "translation",
        "Translation",
        "Say it in English, though one word may become two: a head goes along the source and stays "
        "where a word needs two.",
        sentences.TRANSLATION_WORDS,
        length=sentences.TRANSLATION_LENGTH,
        draw=lambda rng, batch: Examples(*sentences.draw_translations(rng, batch)),
        answers=sentences.aligned_sources,
    ),
    _text_task(SAMPLE_TEXT),
)
TASK_NAMES: Final = tuple(task.name for task in TASKS)
