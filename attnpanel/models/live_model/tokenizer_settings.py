"""A tokenizer as plain data for an offline file; js/live_model/tokenizers.js does the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from attnpanel.models.live_model import byte_pair_settings, wordpiece_settings
from attnpanel.models.live_model.tokenizer_parts import TokenizerParts, require
from attnpanel.models.tokens import names_of_ids

if TYPE_CHECKING:
    from collections.abc import Callable

# By the type of a tokenizer's model, what reads its settings.
SETTINGS: Final[dict[str, Callable[[TokenizerParts], dict[str, Any]]]] = {
    "WordPiece": wordpiece_settings.settings,
    "BPE": byte_pair_settings.settings,
}


def tokenizer_settings(tokenizer: Any) -> dict[str, Any]:
    """Return what JavaScript needs to tokenize as a tokenizer of transformers does.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
        WordPiece as BERT's, or byte-pair encoding as that of GPT-2, RoBERTa or Llama.

    Returns
    -------
    dict
        ``TokenizerSettings`` of js/types/live_model.d.ts.

    Raises
    ------
    ValueError
        If it is another tokenizer, or has an option that JavaScript does not follow.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("a tokenizer in a file must be one of the library `tokenizers`")
    document = json.loads(backend.to_str())
    kind = document["model"]["type"]
    require("its model", kind, SETTINGS)
    parts = TokenizerParts.of(document)
    made = SETTINGS[kind](parts)
    require(
        "the ids around an empty text", tokenizer("")["input_ids"], [[*parts.before, *parts.after]]
    )
    # Not in the tokenizer's JSON.
    require("split_special_tokens", getattr(tokenizer, "split_special_tokens", False), [False])
    pieces = parts.model.get("vocab", {})
    shown = names_of_ids(tokenizer, range(len(parts.vocabulary)))
    return made | {
        "vocabulary": parts.vocabulary,
        "addedOnly": [token["id"] for token in parts.added if token["content"] not in pieces],
        # Where a token is shown otherwise than it is written, as a control character.
        "shown": {
            str(number): name
            for number, (name, piece) in enumerate(zip(shown, parts.vocabulary, strict=True))
            if name != piece
        },
        "before": parts.before,
        "after": parts.after,
    }


def unreachable_ids(tokenizer: Any, settings: dict[str, Any]) -> list[tuple[int, int]]:
    """Return runs of ids that no text gives, first and last: their embeddings are of no use."""
    if settings["kind"] == "wordpiece":
        return wordpiece_settings.unreachable_ids(tokenizer, settings)
    return []  # merges make every token of some text
