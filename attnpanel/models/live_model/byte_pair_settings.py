"""Byte-pair encoding as plain data for an offline file; js/live_model/byte_pairs.js does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attnpanel.models.live_model.tokenizer_parts import require
from attnpanel.models.tokens import bytes_of_characters

if TYPE_CHECKING:
    from attnpanel.models.live_model.tokenizer_parts import TokenizerParts

# Names and settings of js/live_model/text_pieces.js.
Step = tuple[str, Any]
# Expressions that split a text, by their names there.
PATTERNS: Final = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "llama3",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}
PREPEND_STEPS: Final = {"always": "prefix", "first": "prefix_first"}


def settings(parts: TokenizerParts) -> dict[str, Any]:
    """Return what is its own in ``BytePairSettings`` of js/types/live_model.d.ts.

    Raises
    ------
    ValueError
        If the tokenizer has an option that JavaScript does not follow.
    """
    model = parts.model
    require("dropout", model["dropout"], [None, 0.0])
    for option in ("continuing_subword_prefix", "end_of_word_suffix"):
        require(option, model[option], [None, ""])
    steps, byte_level = _pre_tokenized(parts.pre_tokenizer)
    steps = [*_normalized(parts.normalizer), *steps]
    _require_bytes(model, byte_level=byte_level)
    normalized = [token for token in parts.added if token["normalized"]]
    for token in parts.added:
        for option in ("single_word", "rstrip"):
            require(f"{option} of its token {token['content']!r}", token[option], [False])
    if parts.normalizer:
        require("the first normalized token", next(iter(normalized), None), [None])
    ids = {token: number for number, token in enumerate(parts.vocabulary)}
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else pair for pair in model["merges"]]
    return {
        "kind": "byte-pairs",
        "merges": [ids[token] for pair in pairs for token in pair],
        "byteLevel": byte_level,
        "ignoreMerges": model.get("ignore_merges", False),
        "steps": steps,
        "added": _ids([token for token in parts.added if not token["normalized"]]),
        "addedLater": _ids(normalized),
        "stripping": [token["content"] for token in parts.added if token["lstrip"]],
    }


def _ids(tokens: list[dict[str, Any]]) -> dict[str, int]:
    return {token["content"]: token["id"] for token in tokens}


def _require_bytes(model: dict[str, Any], *, byte_level: bool) -> None:
    """Require a token for each byte: a text then never holds what there is none for."""
    vocabulary = model["vocab"]
    if byte_level:
        names = list(bytes_of_characters())
    else:
        require("byte_fallback without a pre-tokenizer of bytes", model["byte_fallback"], [True])
        names = [f"<0x{byte:02X}>" for byte in range(256)]
    missing = next((name for name in names if name not in vocabulary), None)
    require("the first byte without a token", missing, [None])


def _normalized(normalizer: dict[str, Any]) -> list[Step]:
    """Return the steps of a normalizer."""
    if not normalizer:
        return []
    kind = normalizer["type"]
    require("its normalizer", kind, ["Sequence", "Prepend", "Replace"])
    if kind == "Sequence":
        return [step for part in normalizer["normalizers"] for step in _normalized(part)]
    if kind == "Prepend":
        return [("prepend", normalizer["prepend"])]
    require("what its normalizer replaces", normalizer["pattern"], [{"String": " "}])
    return [("spaces", normalizer["content"])]


def _pre_tokenized(part: dict[str, Any]) -> tuple[list[Step], bool]:
    """Return the steps of a pre-tokenizer, and whether it ends with a letter for each byte."""
    if not part:
        return [], False
    kind = part["type"]
    require("its pre-tokenizer", kind, ["Sequence", "ByteLevel", "Split", "Digits", "Metaspace"])
    if kind == "Sequence":
        steps: list[Step] = []
        byte_level = False
        for inner in part["pretokenizers"]:
            require("what stands before a pre-tokenizer of bytes", byte_level, [False])
            more, byte_level = _pre_tokenized(inner)
            steps += more
        return steps, byte_level
    if kind == "ByteLevel":
        prefix: list[Step] = [("prefix", " ")] if part["add_prefix_space"] else []
        return [*prefix, *([("pattern", "gpt2")] if part["use_regex"] else [])], True
    if kind == "Digits":
        return [("digits", part["individual_digits"])], False
    if kind == "Split":
        require("the behavior of its pre-tokenizer", part["behavior"], ["Isolated"])
        require("invert of its pre-tokenizer", part["invert"], [False])
        pattern = part["pattern"].get("Regex")
        require("the expression of its pre-tokenizer", pattern, PATTERNS)
        return [("pattern", PATTERNS[pattern])], False
    scheme, letter = part["prepend_scheme"], part["replacement"]
    require("prepend_scheme", scheme, ["always", "first", "never"])
    made: list[Step] = [("spaces", letter)]
    made += [(PREPEND_STEPS[scheme], letter)] if scheme in PREPEND_STEPS else []
    return [*made, *([("before", letter)] if part["split"] else [])], False
