"""`bench` in a checkout is attnpanel.bench, not a copy of it."""

from __future__ import annotations

import importlib
import subprocess
import sys

import bench.run.records
import pytest

import attnpanel.bench.run.records
import bench
from attnpanel.bench import certify


def test_the_short_name_is_the_same_module():
    assert bench is attnpanel.bench
    assert sys.modules["bench.run.records"] is attnpanel.bench.run.records
    later = importlib.import_module("bench.adapters.flash_attn2")
    assert later is importlib.import_module("attnpanel.bench.adapters.flash_attn2")
    assert bench.run.records.BenchRun.__module__ == "attnpanel.bench.run.records"


def test_loading_the_package_certify_does_not_hide_the_function():
    importlib.import_module("bench.certify.gradients")

    assert bench.certify is certify


def test_a_module_that_is_not_there_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"bench\.nothing"):
        importlib.import_module("bench.nothing")


def test_python_m_bench_is_the_command_line(root):
    command = [sys.executable, "-m", "bench", "--help"]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)

    assert ran.stdout.startswith("usage: attnpanel bench ")
