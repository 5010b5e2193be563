"""What a wheel holds, that it works on its own, and what importing it loads."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

HEAVY = {"torch", "panel", "holoviews", "bokeh", "param", "pandas", "transformers", "safetensors"}


@pytest.fixture(scope="session")
def wheel(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, root]
    subprocess.run(build, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_a_wheel_holds_attnpanel_and_its_metadata_only(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert len(tops) == 2
    assert "attnpanel" in tops
    assert (tops - {"attnpanel"}).pop().endswith(".dist-info")


@pytest.mark.slow
def test_every_file_of_the_package_is_in_the_wheel(root, wheel):
    source = {
        path.relative_to(root).as_posix()
        for path in root.glob("attnpanel/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = set(zipfile.ZipFile(wheel).namelist())

    assert "attnpanel/py.typed" in source  # without it no caller's type checker reads our types
    assert source - packed == set()


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory) -> Path:
    """An environment that holds NumPy, linked from this one, and nothing else."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for numpy in Path(sysconfig.get_path("platlib")).glob("numpy*"):
        (packages / numpy.name).symlink_to(numpy)
    return folder


@pytest.mark.slow
@pytest.mark.posix
def test_the_wheel_installs_and_computes_with_numpy_alone(wheel, empty_environment):
    python = empty_environment / "bin" / "python"
    install = ["-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-qq", wheel]
    subprocess.run([sys.executable, *install], check=True)

    code = "import attnpanel as a; print(a.attend([[0.0]], [[1.0], [2.0]], [[8.0], [4.0]]).output)"
    # -I: neither this folder nor PYTHONPATH can lend it what it lacks.
    ran = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)

    assert (ran.stdout, ran.stderr) == ("[[6.]]\n", "")


def loaded_by(code: str) -> set[str]:
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", f"{code}; {report}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_attnpanel_loads_numpy_only():
    loaded = loaded_by("import attnpanel")

    assert "numpy" in loaded
    assert loaded & HEAVY == set()


def test_the_check_for_what_is_loaded_sees_what_is_loaded():
    assert loaded_by("import attnpanel, param") & HEAVY == {"param"}


def test_the_lowest_versions_allowed_are_those_that_are_run(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lines = (root / "constraints-lowest.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if "==" in line]
    run = {name: Version(version) for name, version in pins}

    allowed = {
        requirement.name: Version(specifier.version)
        for requirement in map(Requirement, project["dependencies"])
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }

    assert set(allowed) == {Requirement(text).name for text in project["dependencies"]}
    assert {name: run.get(name) for name in allowed} == allowed
