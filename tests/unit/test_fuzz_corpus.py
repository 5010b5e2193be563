"""The inputs that fuzzing starts from, and what it has found, keep the parsers' promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
INPUTS = sorted(path for path in CORPUS.glob("*/*"))


def test_every_target_has_inputs():
    assert {path.parent.name for path in INPUTS} == set(TARGETS)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_input_is_read_or_refused(path):
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("data", [b"", b"\0", b"{}", b"[[[[", b"null\0\xff"], ids=repr)
def test_what_is_none_is_refused(target, data):
    target(data)


def test_a_broken_promise_is_told(monkeypatch):
    monkeypatch.setattr("tests.fuzz.targets.apply_address", lambda *_: [None])
    with pytest.raises(AssertionError, match="must be sentences"):
        TARGETS["address"](b"head=1")
