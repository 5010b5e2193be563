"""A tokenizer as plain data for an offline file; js/live_model/wordpiece.js does the same."""

from __future__ import annotations

import json
from typing import Any

from attnpanel.models.tokens import names_of_ids


def tokenizer_settings(tokenizer: Any) -> dict[str, Any]:
    """Return what JavaScript needs to tokenize as a tokenizer of transformers does.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
        BERT's WordPiece, cased or not.

    Returns
    -------
    dict
        ``WordPieceSettings`` of js/types/live_model.d.ts.

    Raises
    ------
    ValueError
        If it is another tokenizer, or has an option that JavaScript does not follow.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("a tokenizer in a file must be one of the library `tokenizers`")
    parts = json.loads(backend.to_str())
    model, normalizer = parts["model"], parts["normalizer"] or {}
    _require("its model", model["type"], "WordPiece")
    _require("its normalizer", normalizer.get("type"), "BertNormalizer")
    _require("its pre-tokenizer", (parts["pre_tokenizer"] or {}).get("type"), "BertPreTokenizer")
    for option in ("clean_text", "handle_chinese_chars"):
        _require(option, normalizer[option], value=True)
    for token in parts["added_tokens"]:
        for option in ("single_word", "lstrip", "rstrip", "normalized"):
            _require(f"{option} of its token {token['content']!r}", token[option], value=False)
    before, after = _around(parts["post_processor"])
    _require("the ids around an empty text", tokenizer("")["input_ids"], [*before, *after])
    lowercase, strip = normalizer["lowercase"], normalizer["strip_accents"]
    added = {token["content"]: token["id"] for token in parts["added_tokens"]}
    vocabulary = _by_id(model["vocab"] | added)
    shown = names_of_ids(tokenizer, range(len(vocabulary)))
    return {
        "kind": "wordpiece",
        "vocabulary": vocabulary,
        # Where a piece is shown otherwise than it is written, as a control character.
        "shown": {
            str(number): name
            for number, (name, piece) in enumerate(zip(shown, vocabulary, strict=True))
            if name != piece
        },
        "unknown": model["unk_token"],
        "prefix": model["continuing_subword_prefix"],
        "longest": model["max_input_chars_per_word"],
        "lowercase": lowercase,
        "stripAccents": lowercase if strip is None else strip,
        "added": added,
        "before": before,
        "after": after,
    }


def unreachable_ids(tokenizer: Any, settings: dict[str, Any]) -> list[tuple[int, int]]:
    """Return runs of ids that no text gives, first and last: their embeddings are of no use.

    A piece can only be found where the normalizer leaves it as it is, and the pre-tokenizer whole.
    """
    backend = tokenizer.backend_tokenizer
    prefix = settings["prefix"]
    kept = {*settings["added"].values(), settings["vocabulary"].index(settings["unknown"])}
    runs: list[tuple[int, int]] = []
    for number, piece in enumerate(settings["vocabulary"]):
        # A continuation stands within a word.
        word = f"a{piece.removeprefix(prefix)}" if piece.startswith(prefix) else piece
        reached = number in kept or (
            backend.normalizer.normalize_str(word).strip(" ") == word
            and [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(word)] == [word]
        )
        # "##" itself may also be written in a text, a sign at a time.
        if reached or piece == prefix:
            continue
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _require(name: str, got: Any, /, value: Any) -> None:
    if got != value:
        raise ValueError(
            f"a tokenizer in a file must be BERT's, where {name} must be {value!r}; got {got!r}"
        )


def _around(processor: dict[str, Any] | None) -> tuple[list[int], list[int]]:
    """Return the ids that a post-processor puts before and after those of a text."""
    if processor is None:
        return [], []
    if processor["type"] == "BertProcessing":
        return [processor["cls"][1]], [processor["sep"][1]]
    _require("its post-processor", processor["type"], "TemplateProcessing")
    before: list[int] = []
    after: list[int] = []
    found = before
    for part in processor["single"]:
        if "Sequence" in part:
            found = after
        else:
            found += processor["special_tokens"][part["SpecialToken"]["id"]]["ids"]
    return before, after


def _by_id(vocabulary: dict[str, int]) -> list[str]:
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    gap = next((n for n, piece in enumerate(pieces) if vocabulary[piece] != n), None)
    _require("the first id without a piece", gap, None)
    return pieces
