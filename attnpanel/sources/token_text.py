"""Token strings as a person reads them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

# SentencePiece writes a leading space as this character (U+2581).
SENTENCEPIECE_SPACE = "\u2581"
OPEN_BOX = "\u2423"


def readable(pieces: Sequence[str], *, byte_level: bool) -> tuple[str, ...]:
    r"""Turn a tokenizer's pieces into strings a person reads.

    A leading space is a space, so that the tokens joined are the text again; a token of
    nothing but spaces is written as open boxes ("␣"), control characters as in Python ("\n"),
    and a part of a character as its bytes ("\xe6"). WordPiece's "##" stays: without it a
    word's continuation looks like a word of its own.

    Parameters
    ----------
    pieces : sequence of str
    byte_level : bool
        Whether the pieces are byte-level BPE's, in which every byte is one printable character.

    Examples
    --------
    >>> readable(["[CLS]", "suit", "##case"], byte_level=False)
    ('[CLS]', 'suit', '##case')
    >>> readable(["cafÃ©", "Ġis", "Ċ", "Ġ"], byte_level=True)
    ('café', ' is', '\\n', '␣')
    """
    return tuple(_visible(_text(piece, byte_level=byte_level)) for piece in pieces)


def is_byte_level(tokenizer: object) -> bool:
    """Whether a tokenizer of transformers writes byte-level pieces."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return "ByteLevel" in repr(getattr(backend, "decoder", None))


def names_of_ids(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """Return what a tokenizer of transformers calls these numbers, as a person reads it."""
    pieces = tokenizer.convert_ids_to_tokens(ids)
    # A model may know more numbers than its tokenizer has tokens.
    known = [f"<{i}>" if piece is None else piece for i, piece in zip(ids, pieces, strict=True)]
    return readable(known, byte_level=is_byte_level(tokenizer))


def _text(piece: str, *, byte_level: bool) -> str:
    if not byte_level:
        return piece.replace(SENTENCEPIECE_SPACE, " ")
    table = _bytes_of_characters()
    if not all(letter in table for letter in piece):  # an added token, kept as it was written
        return piece
    return bytes(table[letter] for letter in piece).decode("utf-8", errors="backslashreplace")


def _visible(text: str) -> str:
    if text and not text.strip(" "):
        return OPEN_BOX * len(text)
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


@cache
def _bytes_of_characters() -> dict[str, int]:
    """Map each character of byte-level BPE to its byte, as GPT-2 defined it.

    Printable bytes of Latin-1 stand for themselves; the others, in order, for the characters
    from U+0100.

    References
    ----------
    Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2;
    ``bytes_to_unicode`` in https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }
