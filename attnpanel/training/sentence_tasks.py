"""Tasks of words: indirect objects and a toy translation, whose heads have names in the literature.

Sources: Wang et al., "Interpretability in the Wild: a Circuit for Indirect Object Identification in
GPT-2 small" (arXiv 2211.00593); Bahdanau et al., "Neural Machine Translation by Jointly Learning to
Align and Translate" (arXiv 1409.0473).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES: Final = (
    "Alice", "Bob", "Carol", "Dan", "Emma", "Frank",
    "Grace", "Henry", "Iris", "Jack", "Kate", "Liam",
)  # fmt: skip
PLACES: Final = ("shop", "park", "school")
THINGS: Final = ("book", "ball", "pen")
# Some of them stand before the sentence and the others inside, so that no position tells the names.
FILLERS: Final = ("today", "again")
IOI_WORDS: Final = (
    *NAMES, *PLACES, *THINGS, *FILLERS,
    "when", "and", "went", "to", "the", ",", "gave", "a",
)  # fmt: skip
IOI_LENGTH: Final = 16

# Each word of the source and its translation: some become two words.
TRANSLATIONS: Final[dict[str, tuple[str, ...]]] = {
    "Hund": ("dog",),
    "Katze": ("cat",),
    "Haus": ("house",),
    "Baum": ("tree",),
    "Buch": ("book",),
    "Brot": ("bread",),
    "Bahnhof": ("train", "station"),
    "Kino": ("movie", "theatre"),
    "Eis": ("ice", "cream"),
}
BAR, END = "|", "."
TRANSLATION_WORDS: Final = (
    *TRANSLATIONS,
    *(word for words in TRANSLATIONS.values() for word in words),
    BAR,
    END,
)
SOURCE_LENGTH: Final = 6
# The source, the bar, and the longest translation, whose last word is not read.
TRANSLATION_LENGTH: Final = SOURCE_LENGTH + sum(
    sorted(map(len, TRANSLATIONS.values()), reverse=True)[:SOURCE_LENGTH]
)


def draw_indirect_objects(
    rng: np.random.Generator, batch: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw sentences such as "when Mary and John went to the shop , John gave a book to Mary".

    Either name may come first, so that their order does not tell the answer.

    Returns
    -------
    tokens : int64 array of shape (batch, T + 1)
    scored : bool array of shape (batch, T)
        True at the last position only, whose answer is the name that is there once.
    """
    numbers = {word: number for number, word in enumerate(IOI_WORDS)}
    rows = []
    for _ in range(batch):
        subject, other = rng.choice(NAMES, 2, replace=False)
        first, second = rng.permuted([subject, other])
        fillers = list(rng.choice(FILLERS, 2))
        before = int(rng.integers(0, 3))
        words = [
            *fillers[:before], "when", first, "and", second,
            "went", "to", "the", rng.choice(PLACES), ",",
            *fillers[before:], subject, "gave", "a", rng.choice(THINGS), "to", other,
        ]  # fmt: skip
        rows.append([numbers[word] for word in words])
    scored = np.broadcast_to(np.arange(IOI_LENGTH) == IOI_LENGTH - 1, (batch, IOI_LENGTH))
    return np.array(rows, dtype=np.int64), scored


def draw_translations(
    rng: np.random.Generator, batch: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Draw different words, a bar, and their translation in the same order.

    Returns
    -------
    tokens : int64 array of shape (batch, T + 1)
        Filled up with full stops.
    scored : bool array of shape (batch, T)
        True where a word of the translation is predicted.
    """
    numbers = {word: number for number, word in enumerate(TRANSLATION_WORDS)}
    tokens = np.full((batch, TRANSLATION_LENGTH + 1), numbers[END], dtype=np.int64)
    scored = np.zeros((batch, TRANSLATION_LENGTH), dtype=np.bool_)
    for row in range(batch):
        source = rng.choice(list(TRANSLATIONS), SOURCE_LENGTH, replace=False)
        target = [word for name in source for word in TRANSLATIONS[name]]
        words = [*source, BAR, *target]
        tokens[row, : len(words)] = [numbers[word] for word in words]
        scored[row, SOURCE_LENGTH : SOURCE_LENGTH + len(target)] = True
    return tokens, scored


def aligned_sources(tokens: NDArray[np.int64], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where the source word of each predicted word stands, (T, T)."""
    source = [TRANSLATION_WORDS[token] for token in tokens[:SOURCE_LENGTH]]
    found = np.zeros((len(scored), len(scored)), dtype=np.bool_)
    for query in np.flatnonzero(scored):
        word = TRANSLATION_WORDS[tokens[query + 1]]
        for key, name in enumerate(source):
            found[query, key] = word in TRANSLATIONS.get(name, ())
    return found
