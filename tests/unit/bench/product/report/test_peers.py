"""The peers' environment and commands, without installing anything."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest

from attnpanel.bench.browser import MeasurementError
from attnpanel.bench.product.report import peers
from attnpanel.bench.product.report.cases import FULL, QUICK
from attnpanel.bench.product.report.peers import (
    PEERS,
    REQUIREMENTS,
    ensure_environment,
    exporter,
    versions,
)
from attnpanel.bench.product.report.peers_export import EXPORTS


def test_every_peer_has_an_export_and_the_other_way_round():
    assert set(PEERS) == set(EXPORTS)


@pytest.mark.parametrize("preset", [FULL, QUICK])
def test_presets_name_peers_that_exist(preset):
    assert {name for _, names in preset.peers for name in names} <= set(PEERS)


def test_every_requirement_is_pinned():
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]

    assert lines
    assert all(len(line.split("==")) == 2 for line in lines)
    assert set(versions()) == {"attnview", "bertviz", "circuitsvis", "inspectus"}


def test_a_peer_is_run_by_its_environments_python(tmp_path):
    how = exporter("attnview", tmp_path / "w.npz", Path("peer/python"))
    head = [
        str(Path("peer/python")),
        "-m",
        "attnpanel.bench.product.report.peers_export",
        "attnview",
    ]

    written = how.command(Path("page.html"), Path("taken.json"))
    idle = how.command(None, Path("taken.json"))

    limit = str(peers.MEMORY_BYTES)
    assert written == [*head, str(tmp_path / "w.npz"), "page.html", "taken.json", limit]
    assert idle == [*head, str(tmp_path / "w.npz"), "-", "taken.json", limit]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where the environment goes; installing is noted instead of done."""
    monkeypatch.setattr(peers, "REQUIREMENTS", tmp_path / "requirements.txt")
    (tmp_path / "requirements.txt").write_text("")
    return tmp_path / "environment"


@pytest.mark.thorough
def test_the_peers_environment_is_recreated_when_the_pins_change(folder, monkeypatch, capfd):
    python = ensure_environment(folder)
    assert "making the peers' environment" in capfd.readouterr().err

    assert ensure_environment(folder) == python
    assert capfd.readouterr().err == ""

    peers.REQUIREMENTS.write_text("# changed\n")
    ensure_environment(folder)
    assert "making the peers' environment" in capfd.readouterr().err


@pytest.mark.thorough
def test_the_peers_environment_falls_back_to_project_packages(folder):
    python = ensure_environment(folder)
    code = "import sys, numpy; print(numpy.__file__); print(*sys.path, sep='\\n')"

    numpy, *path = peers._run(str(python), "-I", "-c", code).splitlines()

    lent = sysconfig.get_path("purelib")
    assert numpy.startswith(lent)
    own = next(index for index, entry in enumerate(path) if entry.startswith(str(folder)))
    assert own < path.index(lent)
    assert Path(python).parent != Path(sys.executable).parent


@pytest.mark.thorough
def test_without_a_network_the_command_says_what_to_do(folder, monkeypatch):
    peers.REQUIREMENTS.write_text("no-such-package-for-attnpanel==1\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    with pytest.raises(MeasurementError) as caught:
        ensure_environment(folder)

    assert "the peers' environment can't be made: " in str(caught.value)
    assert "no-such-package-for-attnpanel" in str(caught.value)
    assert "--skip-peers measures the report alone" in str(caught.value)
    assert not (folder / "made-from.txt").exists()
