"""Which browsers tests and measurements use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from attnpanel.bench.browser import FIREFOX_HINT, INSTALL_HINT, find_browser, find_firefox, main


def program(path: Path, exit_status: int) -> Path:
    path.write_text(f"#!/bin/sh\nexit {exit_status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    monkeypatch.delenv("ATTNPANEL_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("attnpanel.bench.browser.MAC_CHROME", "")
    monkeypatch.setattr("attnpanel.bench.browser._playwright_candidates", lambda: iter(()))


def test_a_browser_on_the_path_is_found(tmp_path):
    chrome = program(tmp_path / "google-chrome", 0)

    assert find_browser() == str(chrome)


def test_a_browser_that_does_not_start_is_skipped(tmp_path):
    program(tmp_path / "chromium-browser", 1)
    chrome = program(tmp_path / "google-chrome", 0)

    assert find_browser() == str(chrome)


def test_the_browser_in_the_environment_variable_comes_first(monkeypatch, tmp_path):
    program(tmp_path / "chromium", 0)
    mine = program(tmp_path / "mine", 0)
    monkeypatch.setenv("ATTNPANEL_CHROMIUM", str(mine))

    assert find_browser() == str(mine)


def test_an_invalid_browser_in_the_environment_is_not_replaced(monkeypatch, tmp_path):
    program(tmp_path / "chromium", 0)
    monkeypatch.setenv("ATTNPANEL_CHROMIUM", str(tmp_path / "missing"))

    assert find_browser() is None


def test_without_a_browser_the_command_says_what_to_do(capsys):
    assert main([]) == 1
    assert capsys.readouterr().err.strip() == INSTALL_HINT


def test_root_on_debian_installs_debians_chromium(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chromium = tmp_path / "chromium"
    program(tmp_path / "apt-get", 0).write_text(
        f"#!/bin/sh\n[ $1 = install ] && echo '#!/bin/sh' >{chromium} && /bin/chmod +x {chromium}\n"
    )

    assert main(["--install"]) == 0
    assert capfd.readouterr().out == f"{chromium}\n"


def test_without_root_playwright_installs_its_own(monkeypatch, tmp_path):
    ran = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("attnpanel.bench.browser._run", lambda *command: ran.append(command))
    program(tmp_path / "apt-get", 0)

    main(["--install"])

    assert ran == [(sys.executable, "-m", "playwright", "install", "chromium")]


def test_root_on_debian_installs_firefox_for_the_tests(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    chromium = program(tmp_path / "chromium", 0)
    firefox = tmp_path / "firefox-esr"
    program(tmp_path / "apt-get", 0).write_text(
        f"#!/bin/sh\ncase $* in *firefox-esr) echo '#!/bin/sh' >{firefox} && "
        f"/bin/chmod +x {firefox};; esac\n"
    )

    assert main(["--install", "--firefox"]) == 0
    assert find_firefox() == str(firefox)
    assert capfd.readouterr().out == f"{chromium}\n"


def test_a_missing_firefox_is_reported_and_chromium_printed(tmp_path, capfd):
    chromium = program(tmp_path / "chromium", 0)

    assert main(["--firefox"]) == 0
    assert capfd.readouterr() == (f"{chromium}\n", f"{FIREFOX_HINT}\n")


def test_the_headless_shell_is_preferred_where_it_is_asked_for(tmp_path, capfd):
    chromium = program(tmp_path / "chromium", 0)
    shell = program(tmp_path / "chromium-headless-shell", 0)

    assert main(["--shell"]) == main([]) == 0
    assert capfd.readouterr().out == f"{shell}\n{chromium}\n"


def test_where_there_is_no_shell_chromium_is_taken(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    ran = []
    monkeypatch.setattr("attnpanel.bench.browser._run", lambda *command: ran.append(command))
    program(tmp_path / "apt-get", 0)
    chromium = program(tmp_path / "chromium", 0)

    assert main(["--install", "--shell"]) == 0
    assert capfd.readouterr().out == f"{chromium}\n"
    assert [command[-1] for command in ran] == ["-qq", "chromium-headless-shell"]


def test_a_browser_that_is_named_is_the_one(monkeypatch, tmp_path, capfd):
    mine = program(tmp_path / "mine", 0)
    program(tmp_path / "chromium-headless-shell", 0)
    monkeypatch.setenv("ATTNPANEL_CHROMIUM", str(mine))

    assert main(["--shell"]) == 0
    assert capfd.readouterr().out == f"{mine}\n"
