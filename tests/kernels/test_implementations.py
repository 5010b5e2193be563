"""What holds for the table of implementations, whatever they compute."""

import importlib
from pathlib import Path
from typing import get_args

import pytest

from attnpanel import kernels
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.implementation import Implementation
from attnpanel.kernels.request import DType, Request
from attnpanel.rules import EmptyRows

# What the implementations are made of; every other file is one.
PARTS = {
    "__init__",
    "arrays",
    "implementation",
    "node_process",
    "numpy_call",
    "numpy_threads",
    "own_causal",
    "query_blocks",
    "reasons",
    "request",
    "torch_inputs",
    "torch_ring_rule",
    "torch_seen",
}
EVERY = pytest.mark.parametrize("kernel", IMPLEMENTATIONS, ids=lambda kernel: kernel.name)


def test_every_file_has_its_row():
    for path in sorted(Path(kernels.__path__[0]).glob("*.py")):
        module = importlib.import_module(f"attnpanel.kernels.{path.stem}")
        own = [one for one in vars(module).values() if isinstance(one, Implementation)]
        if path.stem in PARTS:
            continue
        assert own, f"{path.name} has no Implementation and is not among the parts"
        for implementation in own:
            assert implementation in IMPLEMENTATIONS, f"{implementation.name} has no row"


def test_the_names_are_unique_and_found():
    names = [implementation.name for implementation in IMPLEMENTATIONS]

    assert len(set(names)) == len(names)
    assert [find_implementation(name) for name in names] == list(IMPLEMENTATIONS)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"must be one of numpy-naive, .*; got 'numpy-naif'"):
        find_implementation("numpy-naif")


@EVERY
def test_what_is_declared_is_among_the_words_there_are(kernel):
    assert kernel.name.startswith(kernel.framework)
    assert set(kernel.dtypes) <= set(get_args(DType))
    assert kernel.dtypes
    assert "output" in kernel.returns
    assert kernel.returns <= {"output", "weights", "logsumexp"}
    assert kernel.empty_rows in get_args(EmptyRows)
    assert kernel.causal_align in {"top_left", "bottom_right", None}
    assert kernel.source
    assert kernel.limits.endswith(".")


@EVERY
def test_a_device_that_nobody_runs_on_is_declined_by_name(kernel):
    reasons = kernel.unsupported(Request(1, 1, 1, 2, 3, 5, 7, device="abacus"))

    assert any("abacus" in reason for reason in reasons), reasons
