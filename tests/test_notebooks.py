"""The notebooks of docs/examples run from top to bottom and print what is kept in them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from PIL import Image

from docs.run_notebooks import EXAMPLES, code_cells, outputs_of

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
GALLERY = EXAMPLES / "holoviz" / "attention_heads"
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


def test_the_entry_for_holoviz_gallery_runs_and_has_the_form_that_its_guide_asks_for():
    project = yaml.safe_load((GALLERY / "anaconda-project.yml").read_text())
    notebook = json.loads((GALLERY / f"{project['name']}.ipynb").read_text())
    needs = [Requirement(one) for one in project["packages"] if isinstance(one, str)]
    package = Path(__file__).parents[1] / "pyproject.toml"
    ours = map(Requirement, tomllib.loads(package.read_text())["project"]["dependencies"])

    assert project["name"] == GALLERY.name
    assert set(project["user_fields"]) <= set(project)
    assert {each["command"] for each in project["examples_config"]["deployments"]} <= set(
        project["commands"]
    )
    specified = {one.name: one.specifier for one in ours}
    assert all(specified.get(one.name, one.specifier) == one.specifier for one in needs)
    assert [cell["outputs"] for cell in code_cells(notebook)] == [[]] * len(code_cells(notebook))
    with Image.open(GALLERY / "thumbnails" / f"{GALLERY.name}.png") as thumbnail:
        assert max(thumbnail.size) <= 500
    assert any(outputs_of(notebook))


def test_a_notebook_whose_numbers_changed_is_found():
    def code(*source):
        return {"cell_type": "code", "source": list(source), "outputs": [], "metadata": {}}

    notebook = {"cells": [code("x = 2\n", "print(x)\n", "x + 1"), code("x;"), code("x")]}
    notebook["cells"][2]["metadata"]["tags"] = ["optional"]

    printed, value = outputs_of(notebook)[0]
    assert printed["text"] == ["2\n"]
    assert value["data"] == {"text/plain": ["3"]}
    assert outputs_of(notebook)[1:] == [[], []]
