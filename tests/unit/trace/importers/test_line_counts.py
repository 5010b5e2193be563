"""The statements that docs/importing.md counts beside those of BertViz and CircuitsVis, run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import attnpanel as ap

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from tests.tiny_encoders import tokenizer, vocabulary  # noqa: E402

PAGE = Path(__file__).resolve().parents[4] / "docs" / "importing.md"
TABLE = PAGE.read_text().partition("## Lines beside")[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TABLE.splitlines()
    if line.startswith("| ") and not line.startswith("| task")
]
WRITTEN_OUT = 'tokenizer(text, return_tensors="pt")'


def statements(cell):
    """Return the code of a cell; what follows a colon is its body."""
    lines = re.findall("`([^`]+)`", cell)
    indents = ["    " if before.endswith(":") else "" for before in ["", *lines[:-1]]]
    code = "\n".join(indent + line for indent, line in zip(indents, lines, strict=True))
    return code.replace("…", WRITTEN_OUT)


@pytest.fixture(scope="module")
def given():
    """What the page has at hand: a model with its tokenizer, weights and tokens."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(vocabulary()), "attn_implementation": "eager"}
    heads = {f"{side}_attention_heads": 3 for side in ("encoder", "decoder")}
    widths = {f"{side}_ffn_dim": 8 for side in ("encoder", "decoder")}
    layers = {f"{side}_layers": 2 for side in ("encoder", "decoder")}
    both = transformers.BartConfig(
        d_model=12, output_attentions=True, **heads, **widths, **layers, **sizes
    )
    one = transformers.BertConfig(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=8,
        output_attentions=True, **sizes,
    )  # fmt: skip
    weights = np.full((2, 1, 3, 2, 2), 0.5)
    return {
        "ap": ap,
        "encoder": transformers.BertModel(one).eval(),
        "encoder-decoder": transformers.BartModel(both).eval(),
        "tokenizer": tokenizer(),
        "text": "the cat sat",
        "attentions": weights,
        "tokens": ["a", "b"],
    }


@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_no_task_takes_more_statements_than_theirs_and_each_runs(row, given, tmp_path, monkeypatch):
    task, bertviz, circuitsvis, here, cell = row
    code = statements(cell)
    counted = sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(code)))
    theirs = [int(found[0]) for x in (bertviz, circuitsvis) if (found := re.match(r"\d+", x))]

    monkeypatch.chdir(tmp_path)
    model = given["encoder-decoder" if "encoder-decoder" in task else "encoder"]
    with torch.no_grad():
        exec(code, {**given, "model": model})  # noqa: S102 - the page's own lines

    assert counted == int(re.match(r"\d+", here)[0]) <= min(theirs, default=counted)


def test_the_five_commonest_tasks_are_in_the_table():
    assert len(ROWS) >= 5
