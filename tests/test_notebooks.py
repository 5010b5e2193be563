"""The notebooks of docs/examples run from top to bottom and print what is kept in them."""

from __future__ import annotations

import json

import pytest

from docs.run_notebooks import EXAMPLES, code_cells, outputs_of

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
AGAIN = "`python docs/run_notebooks.py` writes the outputs anew"


def test_the_examples_are_there():
    assert [path.stem[0] for path in NOTEBOOKS] == ["1", "2", "3", "4"]


@pytest.mark.thorough(but=1)
@pytest.mark.model
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_is_kept_in_it(path):
    notebook = json.loads(path.read_text())

    made = outputs_of(notebook)

    assert made == [cell["outputs"] for cell in code_cells(notebook)], AGAIN


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_kept_notebook_holds_text_and_nothing_of_one_machine(path):
    notebook = json.loads(path.read_text())
    cells = code_cells(notebook)
    kinds = {kind for cell in cells for out in cell["outputs"] for kind in out.get("data", ())}

    assert kinds <= {"text/plain"}
    assert {cell["execution_count"] for cell in cells} == {None}
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert path.stat().st_size < 40_000


def test_a_notebook_whose_numbers_changed_is_found():
    def code(*source):
        return {"cell_type": "code", "source": list(source), "outputs": [], "metadata": {}}

    notebook = {"cells": [code("x = 2\n", "print(x)\n", "x + 1"), code("x;"), code("x")]}
    notebook["cells"][2]["metadata"]["tags"] = ["optional"]

    printed, value = outputs_of(notebook)[0]
    assert printed["text"] == ["2\n"]
    assert value["data"] == {"text/plain": ["3"]}
    assert outputs_of(notebook)[1:] == [[], []]
