"""The environment of a measurement."""

from __future__ import annotations

import os
import subprocess
import sys

from attnpanel.bench.measure.environment import describe


def test_the_environment_describes_machine_and_packages():
    environment = describe("Chromium 1")

    assert environment.cpu_model
    assert 1 <= environment.cores <= (os.cpu_count() or 1)
    assert environment.browser == "Chromium 1"
    assert environment.versions["bokeh"].count(".") == 2
    assert environment.load_after is None


def test_only_thread_variables_that_are_set_are_listed(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)

    variables = describe().thread_variables

    assert variables["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in variables


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr("attnpanel.bench.measure.environment.ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    environment = describe()

    assert environment.commit is None
    assert environment.dirty is None


def test_a_changed_file_makes_the_commit_dirty(monkeypatch, tmp_path):
    def git(*arguments: str) -> None:
        named = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", *named, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "pyproject.toml").write_text("one")
    git("add", "pyproject.toml")
    git("commit", "-m", "one")
    monkeypatch.setattr("attnpanel.bench.measure.environment.ROOT", tmp_path)
    clean = describe()
    (tmp_path / "pyproject.toml").write_text("two")

    assert (clean.dirty, describe().dirty) == (False, True)
    assert len(clean.commit or "") == 40


def test_an_environment_inside_another_project_has_no_commit(root, monkeypatch):
    monkeypatch.setattr("attnpanel.bench.measure.environment.ROOT", root / "docs")

    assert describe().commit is None


def test_the_bench_loads_neither_torch_nor_panel(root):
    code = "import sys, attnpanel.bench.__main__; print({'torch', 'panel'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"
