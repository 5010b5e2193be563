"""Every public name is documented, and docs/api.md says what the docstrings say."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from docs.write_api import MODULES, PAGE, api_page

NAMES = [
    (module, name)
    for module, _ in MODULES
    for name in importlib.import_module(module).__all__
    if callable(getattr(importlib.import_module(module), name))
]


def test_the_page_says_what_the_docstrings_say():
    assert PAGE.read_text() == api_page(), "`python docs/write_api.py` writes it anew"


@pytest.mark.parametrize(("module", "name"), NAMES, ids=".".join)
def test_a_public_name_tells_what_it_is_and_names_its_parameters(module, name):
    thing = getattr(importlib.import_module(module), name)
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        pytest.skip("a type's own name")
    text = inspect.getdoc(thing) or ""
    parameters = set(inspect.signature(thing).parameters) - {"self"}

    assert re.match(r"[^\n]+\.(\n|$)", text)
    assert {one for one in parameters if not re.search(rf"(?<!\w){one}(?!\w)", text)} == set()
