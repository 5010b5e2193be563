"""Compare the tokenizer in JavaScript with transformers' on all characters and random texts."""

from __future__ import annotations

import json
import random
import subprocess
from typing import TYPE_CHECKING, Any

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.measure.environment import ROOT
from attnpanel.kernels.javascript.node_process import find_node
from attnpanel.models.live_model.tokenizer_settings import tokenizer_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKENIZERS = ROOT / "js/live_model/tokenizers.js"
# Reads settings and texts as a line of JSON each, and writes the ids of each text.
SCRIPT = """
import { createInterface } from "node:readline";
const { makeTokenizer } = await import(process.argv[1]);
let tokenizer = null;
for await (const line of createInterface({ input: process.stdin })) {
  if (tokenizer === null) tokenizer = makeTokenizer(JSON.parse(line));
  else process.stdout.write(JSON.stringify(tokenizer.read(JSON.parse(line)).ids) + "\\n");
}
"""
# Where tokenizers differ: marks, cases, signs, spaces, controls, ideographs, special tokens.
CURIOUS = [
    "e\u0301",
    "İ",
    "ß",
    "Σ",
    "東",
    "\t",
    "\x0b",
    "\x85",
    "\u3000",
    "'",
    "##",
    "[MASK]",
    "[SEP]",
]
CURIOUS += [
    " ",
    " ",
    " ",
    "attention",
    "un",
    "able",
    "\ufffd",
    "\u200d",
    "😀",
    "ﬁ",
    "가",
    "İstanbul",
]


def every_character() -> list[str]:
    """Return each code point in a word, surrogates excepted."""
    return [f"a{chr(code)}b {chr(code)}" for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def random_texts(count: int, seed: int = 0) -> list[str]:
    """Return texts of 1 to 40 characters from all of Unicode and from what is curious."""
    source = random.Random(seed)  # noqa: S311 - no secret
    blocks = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x600, 0x2000)]
    blocks += [(0x2000, 0x3100), (0x3100, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]

    def part() -> str:
        if source.random() < 0.3:
            return source.choice(CURIOUS)
        return chr(source.randrange(*source.choice(blocks)))

    return ["".join(part() for _ in range(source.randint(1, 40))) for _ in range(count)]


def differing(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Return the texts that JavaScript tokenizes otherwise than transformers.

    Raises
    ------
    MeasurementError
        If there is no Node.js, or it fails.
    """
    node = find_node()
    if node is None:
        raise MeasurementError("there is no Node.js: `make install` brings it")
    lines = [json.dumps(tokenizer_settings(tokenizer)), *map(json.dumps, texts)]
    ran = subprocess.run(
        [node, "--input-type=module", "--eval", SCRIPT, TOKENIZERS.as_uri()],
        input="\n".join(lines) + "\n",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if ran.returncode:
        raise MeasurementError(f"Node.js ended with {ran.returncode}: {ran.stderr}")
    made = map(json.loads, ran.stdout.splitlines())
    expected = tokenizer(list(texts), verbose=False)["input_ids"]
    return [text for text, ids, known in zip(texts, made, expected, strict=True) if ids != known]
