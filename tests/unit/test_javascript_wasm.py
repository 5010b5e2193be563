"""The WebAssembly modules are what their source compiles to."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.mark.parametrize("source", ["attention.c", "encoder.c"])
def test_a_source_compiles_to_the_very_bytes_of_its_modules(root, source):
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no ziglang: `make install` brings it")
    spec = importlib.util.spec_from_file_location("build", root / "js" / "wasm" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)

    assert build.MODULES[source].read_text(encoding="utf-8") == build.modules_text(source)
