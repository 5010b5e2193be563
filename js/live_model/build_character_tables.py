r"""Make character_tables.js: `python js/live_model/build_character_tables.py` asks the tokenizer.

Browsers know newer characters than the library that trained tokenizers are run with, so `\p{…}` in
JavaScript would differ from it. Needs the package `tokenizers`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tokenizers import Regex
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, Digits, Split

TABLES = Path(__file__).with_name("character_tables.js")
HEADER = """\
// Made by build_character_tables.py, which asks the tokenizer about every code point: never edited.
// Runs of code points in base 36: the gap from the end of the run before, and the length less 1.
"""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def code_points() -> list[int]:
    """Return all code points but surrogates, which no text holds."""
    return [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def tables() -> dict[str, list[int]]:
    """Return the code points of each kind, in order."""
    options = {"handle_chinese_chars": False, "lowercase": False}
    clean = BertNormalizer(clean_text=True, strip_accents=False, **options)
    strip = BertNormalizer(clean_text=False, strip_accents=True, **options)
    split = BertPreTokenizer()
    found: dict[str, list[int]] = {"REMOVED": [], "SPACES": [], "MARKS": [], "PUNCTUATION": []}
    for code in code_points():
        text = f"a{chr(code)}b"
        cleaned = clean.normalize_str(text)
        if cleaned == "ab":
            found["REMOVED"].append(code)
            continue
        if cleaned == "a b":
            found["SPACES"].append(code)
            continue
        if strip.normalize_str(text) == "ab":
            found["MARKS"].append(code)
        if [piece for piece, _ in split.pre_tokenize_str(text)] == ["a", chr(code), "b"]:
            found["PUNCTUATION"].append(code)
    return found | classes()


def classes() -> dict[str, list[int]]:
    """Return the code points that expressions and the splitter of digits find."""

    def found_by(splitter: Any, word: str) -> list[int]:
        return [
            code
            for code in code_points()
            if len(splitter.pre_tokenize_str(f"{word}{chr(code)}{word}")) == 3
        ]

    def expression(pattern: str) -> Any:
        return Split(Regex(pattern), behavior="isolated")

    return {
        "LETTERS": found_by(expression(r"\p{L}"), "."),
        "NUMBERS": found_by(expression(r"\p{N}"), "."),
        "WHITE": found_by(expression(r"\s"), "."),
        "NUMERIC": found_by(Digits(individual_digits=True), "."),
    }


def runs(codes: list[int]) -> str:
    """Return code points as the gaps and lengths of their runs."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    numbers, last = [], 0
    for first, stop in spans:
        numbers += [first - last, stop - first]
        last = stop
    return " ".join(map(base36, numbers))


def base36(number: int) -> str:
    """Return a number's digits in base 36."""
    digits = DIGITS[number % 36]
    while number := number // 36:
        digits = DIGITS[number % 36] + digits
    return digits


def tables_text() -> str:
    """Return what character_tables.js must hold."""
    return HEADER + "".join(
        f'export const {name} = "{runs(codes)}";\n' for name, codes in tables().items()
    )


if __name__ == "__main__":
    TABLES.write_text(tables_text(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"{TABLES}: {TABLES.stat().st_size} bytes\n")
