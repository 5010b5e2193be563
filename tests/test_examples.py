"""What the docstrings and the documents show as Python runs, and gives what they say."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import numpy as np
import pytest

import attnpanel
from docs.run_notebooks import empty_folder

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def modules_with_examples() -> list[str]:
    """The names of modules that hold an example which is run."""
    files = sorted([*ROOT.glob("attnpanel/**/*.py")])
    shown = re.compile(r">>> (?!.*doctest: \+SKIP)")
    return [
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in files
        if shown.search(file.read_text())
    ]


@pytest.mark.thorough(but=12)
@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_docstring_give_what_they_say(name):
    if "torch" in name:
        pytest.importorskip("torch")
    results = doctest.testmod(importlib.import_module(name), extraglobs={"np": np, "ap": attnpanel})

    assert results.attempted > 0
    assert results.failed == 0


@pytest.fixture
def given():
    """What a document's examples may use without saying where it comes from: one's own model."""
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False).eval()
    return {"model": model, "inputs": {"src": torch.randn(1, 5, 8)}, "__name__": "__main__"}


@pytest.mark.thorough(but=10)
@pytest.mark.model
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_document_runs(page, given):
    blocks = BLOCK.findall(page.read_text())

    with empty_folder():
        for block in blocks:
            exec(compile(block, page.name, "exec"), given)  # noqa: S102 - our own documents


def test_documents_show_python():
    assert sum(len(BLOCK.findall(page.read_text())) for page in PAGES) > 4
