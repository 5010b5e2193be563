"""`python -m bench live`: its table by hand, and its comparison of tokenizers."""

from __future__ import annotations

import pytest

from attnpanel.bench.__main__ import main
from attnpanel.bench.product.live.results import LiveRun, Typed
from attnpanel.bench.product.live.sentences import text_of
from attnpanel.bench.product.live.table import live_table
from attnpanel.bench.product.live.tokenizing import differing, every_character, random_texts
from attnpanel.bench.run.serialization import read, write
from tests.tiny_encoders import tokenizer
from tests.unit.bench.product.test_tables import RUN as UI_RUN

RUN = LiveRun(
    schema="attnpanel.bench-live/1",
    preset="quick",
    environment=UI_RUN.environment,
    kernel="wasm-simd",
    file_bytes=60_980_000,
    first_picture_s=(0.5, 0.7, 0.6),
    ready_s=(1.5, 1.75, 2.5),
    ordinary_first_picture_s=(0.5, 0.55, 0.65),
    typed=(Typed(16, (0.03, 0.05, 0.04)), Typed(17, (0.01,))),
    max_weight_error=1.12e-3,
    rows=1000,
    same_largest=999,
    texts=5,
    characters=7,
    differing=1,
)
# The medians of the samples, and 999 of 1,000 rows.
EXPECTED = [
    ["size of the file, MB", "60.98", "61"],
    ["largest error of a weight", "1.12e-03", "1.5e-03"],
    ["rows with the same largest weight", "99.900%", "99.9%"],
    ["tokenized otherwise, of 5 texts and 7 characters", "1", "0"],
    ["open → ready, s", "1.75", "2"],
    ["open → first heatmap, s; without a model", "0.60; 0.55", ""],
    ["Enter → picture, 16 tokens, ms", "40", "60"],
    ["Enter → picture, 17 tokens, ms", "10", ""],
]


def test_the_table_says_what_the_result_holds(tmp_path, capsys):
    path = tmp_path / "live.json"
    write(RUN, path)

    assert read(path, LiveRun) == RUN
    assert main(["live", "--table", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.strip() == live_table(RUN)
    lines = [line for line in said.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert cells == EXPECTED


def test_texts_differ_from_one_another_and_are_as_long_as_wished():
    texts = {text_of(9, start) for start in range(5)}
    assert {len(text.split()) for text in texts} == {7}
    assert len(texts) == 5
    assert random_texts(3) == random_texts(3)


def test_texts_that_are_tokenized_otherwise_are_found():
    pytest.importorskip("transformers", reason="no transformers: `make install` brings it")
    texts = ["The cat.", *random_texts(20), *every_character()[0x2F00:0x2F20]]
    assert differing(tokenizer(), texts) == []

    class Other:
        backend_tokenizer = tokenizer().backend_tokenizer
        convert_ids_to_tokens = staticmethod(tokenizer().convert_ids_to_tokens)

        def __call__(self, texts, **options):
            if isinstance(texts, str):
                return tokenizer()(texts, **options)
            return {"input_ids": [[2, 3] for _ in texts]}

    assert differing(Other(), ["", "cat"]) == ["cat"]
