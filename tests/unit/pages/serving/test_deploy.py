"""The examples of docs/deploy.md, run as far as this machine has the tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnpanel.__main__ import LIMITS, main
from attnpanel.pages.server import _free_port
from tests.page_socket import request, upgrade
from tests.unit.pages.serving.conftest import running

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "deploy.md").read_text("utf-8")
NAME = "attention.example.org"


def example(language: str) -> str:
    """The page's one block of code in a language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return block


def test_every_limit_is_documented_with_its_default_and_stands_in_the_help(capsys):
    rows = {row[1]: row[2] for row in re.findall(r"^(\|) (.*?) \| (.*?) \|", PAGE, re.MULTILINE)}
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    for option, default, _ in LIMITS:
        (documented,) = [row for options, row in rows.items() if f"`{option}`" in options]
        assert str(default) in documented
        assert option in shown
    assert "--num-procs" not in shown


def test_what_health_documents_is_what_it_says(live):
    answer = request(live.port, f"Host: localhost:{live.port}", "/health")
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    documented = set(re.findall(r"`([a-z_]+)`", PAGE.partition("## systemd")[0]))

    assert {*said, *said["sessions"], *said["queue"]} <= documented


@pytest.mark.parametrize("option", ["--num-procs", *(option for option, *_ in LIMITS)])
def test_a_limit_below_one_and_several_processes_are_refused(capsys, option):
    assert main(["serve", option, "0"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("attnpanel: ")
    assert ("docs/deploy.md" if option == "--num-procs" else option) in said


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path):
    unit = tmp_path / "attnpanel.service"
    text = example("ini").replace("/opt/attnpanel/.venv/bin/attnpanel", sys.executable)
    assert text.count(sys.executable) == 1
    unit.write_text(text.replace("User=attnpanel\n", ""))

    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )

    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


@contextmanager
def proxy(folder: Path, behind: int) -> Iterator[int]:
    """Run nginx with the page's example, without TLS; yield its port."""
    port = _free_port("localhost", 0)
    server = example("nginx").replace("127.0.0.1:5006", f"127.0.0.1:{behind}")
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    server = re.sub(r"^ *ssl_.*\n", "", server, flags=re.MULTILINE)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"pid {folder}/pid;\ndaemon off;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
    )
    command = ["nginx", "-c", str(configuration), "-e", f"{folder}/error.log"]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(command)
    try:
        _until_listening(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _until_listening(port: int, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            request(port, f"Host: {NAME}", "/health")
        except ConnectionRefusedError:
            continue
        return
    pytest.fail("nginx ended")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_a_page_and_its_websocket_pass_the_proxy_and_a_foreign_name_does_not(tmp_path):
    with running(behind_proxy=True, origins=(NAME,)) as server, proxy(tmp_path, server.port) as at:
        answer = request(at, f"Host: {NAME}")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"token"' in answer
        assert upgrade(at, NAME, f"https://{NAME}") == 101
        assert upgrade(at, NAME, "https://evil.example") == 403
        assert request(at, "Host: evil.example").startswith(b"HTTP/1.1 403")
