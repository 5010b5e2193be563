"""The tokenizer's character tables in JavaScript are those of the library."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.mark.thorough
@pytest.mark.slow
def test_the_tables_are_what_the_library_says_of_every_code_point(root):
    pytest.importorskip("tokenizers", reason="no tokenizers: `make install` brings it")
    path = root / "js/live_model/build_character_tables.py"
    spec = importlib.util.spec_from_file_location("build_character_tables", path)
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)

    assert build.TABLES.read_text(encoding="utf-8") == build.tables_text()
