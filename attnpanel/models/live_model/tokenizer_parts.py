"""The parts of a tokenizer's JSON that all kinds of tokenizers have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class TokenizerParts:
    """A tokenizer as the library `tokenizers` writes it.

    Attributes
    ----------
    model, normalizer, pre_tokenizer : dict
        Their JSON; empty for none.
    added : list of dict
        The added tokens' JSON.
    vocabulary : list of str
        All tokens by id.
    before, after : list of int
        The ids that are put before and after those of a text.
    """

    model: dict[str, Any]
    normalizer: dict[str, Any]
    pre_tokenizer: dict[str, Any]
    added: list[dict[str, Any]]
    vocabulary: list[str]
    before: list[int]
    after: list[int]

    @classmethod
    def of(cls, parts: dict[str, Any]) -> TokenizerParts:
        """Return the parts of a tokenizer's JSON."""
        added = parts["added_tokens"]
        ids = dict(parts["model"].get("vocab", {}))
        ids |= {token["content"]: token["id"] for token in added}
        before, after = _around(parts["post_processor"])
        return cls(
            parts["model"],
            parts["normalizer"] or {},
            parts["pre_tokenizer"] or {},
            added,
            _by_id(ids),
            before,
            after,
        )


def require(name: str, got: Any, allowed: Iterable[Any]) -> None:
    """Raise ValueError unless a part of a tokenizer is one that JavaScript has."""
    if got not in allowed:
        values = " or ".join(map(repr, allowed))
        raise ValueError(f"in a tokenizer in a file {name} must be {values}; got {got!r}")


def _around(processor: dict[str, Any] | None) -> tuple[list[int], list[int]]:
    """Return the ids that a post-processor puts before and after those of a text."""
    if processor is None or processor["type"] == "ByteLevel":  # that one changes offsets only
        return [], []
    if processor["type"] == "Sequence":
        before: list[int] = []
        after: list[int] = []
        for part in processor["processors"]:
            first, last = _around(part)
            before, after = [*first, *before], [*after, *last]
        return before, after
    if processor["type"] in ("BertProcessing", "RobertaProcessing"):
        return [processor["cls"][1]], [processor["sep"][1]]
    require("its post-processor", processor["type"], ["TemplateProcessing"])
    return _around_template(processor)


def _around_template(processor: dict[str, Any]) -> tuple[list[int], list[int]]:
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
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    gap = next((n for n, token in enumerate(tokens) if vocabulary[token] != n), None)
    require("the first id without a token", gap, [None])
    return tokens
