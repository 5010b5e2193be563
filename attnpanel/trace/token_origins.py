"""The text that each token came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenOrigins:
    """The text that a tokenizer made each token of.

    Attributes
    ----------
    texts : tuple of tuple of str
        ``texts[b][t]``: the part of the text; empty for a token that a tokenizer adds.
    unknown : str
        The token for text that the model has none for, such as ``"[UNK]"``; empty if there is none.

    Examples
    --------
    >>> origins = TokenOrigins((("", "na\u00efve", "\u6f22", ""),), "[UNK]")
    >>> origins.texts[0][1]
    'na\u00efve'
    """

    texts: tuple[tuple[str, ...], ...]
    unknown: str = ""
