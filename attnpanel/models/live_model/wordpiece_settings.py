"""BERT's WordPiece as plain data for an offline file; js/live_model/wordpiece.js does the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnpanel.models.live_model.tokenizer_parts import require

if TYPE_CHECKING:
    from attnpanel.models.live_model.tokenizer_parts import TokenizerParts


def settings(parts: TokenizerParts) -> dict[str, Any]:
    """Return what is WordPiece's own in ``WordPieceSettings`` of js/types/live_model.d.ts.

    Raises
    ------
    ValueError
        If the tokenizer has an option that JavaScript does not follow.
    """
    model, normalizer = parts.model, parts.normalizer
    require("its normalizer", normalizer.get("type"), ["BertNormalizer"])
    require("its pre-tokenizer", parts.pre_tokenizer.get("type"), ["BertPreTokenizer"])
    for option in ("clean_text", "handle_chinese_chars"):
        require(option, normalizer[option], [True])
    for token in parts.added:
        for option in ("single_word", "lstrip", "rstrip", "normalized"):
            require(f"{option} of its token {token['content']!r}", token[option], [False])
    lowercase, strip = normalizer["lowercase"], normalizer["strip_accents"]
    return {
        "kind": "wordpiece",
        "unknown": model["unk_token"],
        "prefix": model["continuing_subword_prefix"],
        "longest": model["max_input_chars_per_word"],
        "lowercase": lowercase,
        "stripAccents": lowercase if strip is None else strip,
        "added": {token["content"]: token["id"] for token in parts.added},
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
        words = [piece, f"a{piece.removeprefix(prefix)}"] if piece.startswith(prefix) else [piece]
        reached = number in kept or any(
            backend.normalizer.normalize_str(word).strip(" ") == word
            and [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(word)] == [word]
            for word in words
        )
        # "##" itself may also be written in a text, a sign at a time.
        if reached or piece == prefix:
            continue
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
