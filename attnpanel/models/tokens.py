"""Convert a tokenizer's tokens to readable strings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from attnpanel.trace.token_origins import TokenOrigins

if TYPE_CHECKING:
    from collections.abc import Sequence

# SentencePiece writes a leading space as this character (U+2581).
SENTENCEPIECE_SPACE = "\u2581"
OPEN_BOX = "\u2423"


def readable(pieces: Sequence[str], *, byte_level: bool) -> tuple[str, ...]:
    r"""Convert a tokenizer's pieces to readable strings.

    A leading space stays a space, so that the joined tokens give the text; a token that is only
    spaces becomes open boxes ("␣"), control characters are escaped as in Python ("\n"), and an
    incomplete character becomes its bytes ("\xe6"). WordPiece's "##" stays: without it a word's
    continuation would look like a word of its own.

    Parameters
    ----------
    pieces : sequence of str
    byte_level : bool
        Whether the pieces are those of byte-level BPE, which writes every byte as one character.

    Examples
    --------
    >>> readable(["[CLS]", "suit", "##case"], byte_level=False)
    ('[CLS]', 'suit', '##case')
    >>> readable(["cafÃ©", "Ġis", "Ċ", "Ġ"], byte_level=True)
    ('café', ' is', '\\n', '␣')
    """
    return tuple(_visible(_text(piece, byte_level=byte_level)) for piece in pieces)


def is_byte_level(tokenizer: object) -> bool:
    """Whether a transformers tokenizer writes byte-level pieces."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return "ByteLevel" in repr(getattr(backend, "decoder", None))


def names_of_ids(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """Return the readable strings of token ids.

    Parameters
    ----------
    tokenizer : object
        A tokenizer of transformers or a processor with one, of `tokenizers`, or anything that
        decodes a list of ids, such as tiktoken's encodings.
    ids : sequence of int

    Raises
    ------
    ValueError
        If it can do none of that.
    """
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        pieces = tokenizer.convert_ids_to_tokens(ids)
    elif hasattr(tokenizer, "id_to_token"):
        pieces = [tokenizer.id_to_token(i) for i in ids]
    elif hasattr(tokenizer, "decode"):
        return readable([tokenizer.decode([i]) for i in ids], byte_level=False)
    else:
        raise ValueError(
            "tokenizer must have convert_ids_to_tokens, id_to_token or decode; "
            f"got {type(tokenizer).__name__}"
        )
    # A model may have more ids than its tokenizer has tokens.
    known = [f"<{i}>" if piece is None else piece for i, piece in zip(ids, pieces, strict=True)]
    return readable(known, byte_level=is_byte_level(tokenizer))


def origins_of(tokenizer: Any, texts: Sequence[str]) -> TokenOrigins | None:
    """Return the part of its text that each token came from; None if the tokenizer can't say.

    Parameters
    ----------
    tokenizer : object
        A tokenizer of transformers.
    texts : sequence of str
        One for each sequence of a batch.
    """
    if not getattr(tokenizer, "is_fast", False):
        return None
    offsets = tokenizer(list(texts), return_offsets_mapping=True, verbose=False)["offset_mapping"]
    parts = tuple(
        tuple(text[start:end] for start, end in row)
        for text, row in zip(texts, offsets, strict=True)
    )
    return TokenOrigins(parts, str(tokenizer.unk_token or ""))


def _text(piece: str, *, byte_level: bool) -> str:
    if not byte_level:
        return piece.replace(SENTENCEPIECE_SPACE, " ")
    table = bytes_of_characters()
    if not all(letter in table for letter in piece):  # an added token, kept unchanged
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
def bytes_of_characters() -> dict[str, int]:
    """Map each character of byte-level BPE to its byte, as GPT-2 defines it.

    Printable bytes of Latin-1 map to themselves; the others, in order, to the characters from
    U+0100.

    References
    ----------
    Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.2;
    ``bytes_to_unicode`` in https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }
