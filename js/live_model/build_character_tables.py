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
    cleaned = between_letters(clean)
    found = {
        "REMOVED": [code for code, left in cleaned.items() if left == ""],
        "SPACES": [code for code, left in cleaned.items() if left == " "],
    }
    rest = [code for code, left in cleaned.items() if left not in ("", " ")]
    stripped = between_letters(strip)
    found["MARKS"] = [code for code in rest if stripped[code] == ""]
    split = set(found_by(BertPreTokenizer(), "a"))
    found["PUNCTUATION"] = [code for code in rest if code in split]
    return found | classes()


def between_letters(normalizer: Any) -> dict[int, str]:
    """Return what a normalizer leaves of each code point, asked about many at a time."""
    left = {}
    for codes in batches():
        text = normalizer.normalize_str("".join(f"a{chr(code)}b" for code in codes))
        left |= dict(zip(codes, text[1:-1].split("ba"), strict=True))
    return left


def classes() -> dict[str, list[int]]:
    """Return the code points that expressions and the splitter of digits find."""

    def expression(pattern: str) -> Any:
        return Split(Regex(pattern), behavior="isolated")

    return {
        "LETTERS": found_by(expression(r"\p{L}"), "."),
        "NUMBERS": found_by(expression(r"\p{N}"), "."),
        "WHITE": found_by(expression(r"\s"), "."),
        "NUMERIC": found_by(Digits(individual_digits=True), "."),
    }


def found_by(splitter: Any, word: str) -> list[int]:
    """Return the code points that a splitter takes out of a word, asked about many at a time."""
    found = []
    for codes in batches():
        text = word + "".join(f"{chr(code)}{word}" for code in codes)
        pieces = splitter.pre_tokenize_str(text)
        alone = {start for piece, (start, _) in pieces if len(piece) == 1 and start % 2}
        found += [code for at, code in enumerate(codes) if 2 * at + 1 in alone]
    return found


def batches() -> list[list[int]]:
    """Return all code points, some hundred at a time."""
    codes = code_points()
    return [codes[at : at + 512] for at in range(0, len(codes), 512)]


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
