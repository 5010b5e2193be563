"""The table of implementations: complete, unique and within the interface."""

import importlib
from pathlib import Path
from typing import get_args

import pytest

from attnpanel import kernels
from attnpanel.attention.validation import EmptyRows
from attnpanel.kernels import IMPLEMENTATIONS, find_implementation
from attnpanel.kernels.implementation import Implementation
from attnpanel.kernels.request import DType, Request

# Modules that implementations share; every other module is an implementation.
SHARED = {
    "torch_.autograd",
    "arrays",
    "blocking",
    "implementation",
    "javascript.node_process",
    "native_causal",
    "numpy_.call",
    "numpy_.threads",
    "reasons",
    "request",
    "torch_.inputs",
    "torch_.online_softmax",
    "torch_.ring_schedule",
    "triton_.kernels",
}
EVERY = pytest.mark.parametrize("kernel", IMPLEMENTATIONS, ids=lambda kernel: kernel.name)


def test_every_module_has_its_row():
    folder = Path(kernels.__path__[0])
    files = [path for path in folder.rglob("*.py") if path.stem != "__init__"]
    names = {".".join(path.relative_to(folder).with_suffix("").parts) for path in files}

    assert names > SHARED
    for name in sorted(names - SHARED):
        module = importlib.import_module(f"attnpanel.kernels.{name}")
        own = [value for value in vars(module).values() if isinstance(value, Implementation)]
        assert own, f"{name} has no Implementation and is not among the shared modules"
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
def test_what_is_declared_is_within_the_interface(kernel):
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
def test_an_unknown_device_is_a_reason_that_names_it(kernel):
    reasons = kernel.unsupported(Request(1, 1, 1, 2, 3, 5, 7, device="abacus"))

    assert any("abacus" in reason for reason in reasons), reasons
