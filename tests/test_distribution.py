"""Recipe, container, Space, workflows and citation agree with the package that they publish."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement

import attnpanel
from attnpanel.__main__ import main
from attnpanel.pages.serving.health import HEALTH

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
SPACE = (ROOT / "deploy/space/Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
RECIPE = yaml.safe_load((ROOT / "conda-recipe/recipe.yaml").read_text())
# conda-forge's pins have it.
PYTHON_MIN = PROJECT["requires-python"].removeprefix(">=")
WORKFLOWS = {
    path.name: yaml.safe_load(path.read_text()) for path in ROOT.glob(".github/workflows/*.yml")
}
# Some packages have another name on conda-forge.
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


@pytest.mark.parametrize(
    "version",
    [
        attnpanel.__version__,
        RECIPE["context"]["version"],
        re.search(r"attnpanel\[models\]==([\d.]+)", SPACE)[1],
        yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"],
    ],
    ids=["package", "recipe", "space", "citation"],
)
def test_every_file_names_the_same_version(version):
    assert version == VERSION


def requirements(lines: list[str]) -> dict[str, str]:
    parsed = [Requirement(line) for line in lines if not line.startswith("python ")]
    return {CONDA_NAMES.get(found.name, found.name): str(found.specifier) for found in parsed}


def test_the_recipe_requires_what_the_package_requires():
    optional = PROJECT["optional-dependencies"]
    rattler = pytest.importorskip("rattler_build", reason="the recipe is rendered by .venv's")
    recipe = rattler.Stage0Recipe.from_file(ROOT / "conda-recipe/recipe.yaml")

    (rendered,) = recipe.render(rattler.VariantConfig({"python_min": [PYTHON_MIN]}))

    package = rendered.recipe.to_dict()
    needs = package["requirements"]
    assert package["package"] == {"name": "attnpanel", "version": VERSION}
    assert needs["host"][0] == f"python {PYTHON_MIN}.*"
    assert needs["run"][0] == f"python >={PYTHON_MIN}"
    assert requirements(needs["run"]) == requirements(PROJECT["dependencies"])
    assert requirements(needs["run_constraints"]) == requirements(
        [*optional["models"], *optional["figures"]]
    )
    assert RECIPE["build"]["python"]["entry_points"] == [
        f"{name} = {place}" for name, place in PROJECT["scripts"].items()
    ]


@pytest.fixture
def served(monkeypatch):
    """What serve() was called with, instead of serving."""
    got = SimpleNamespace(options=None)

    def serve(_traces, **options):
        got.options = options
        return 0

    monkeypatch.setattr("attnpanel.pages.server.serve", serve)
    return got


def command(dockerfile: str, instruction: str) -> list[str]:
    """A command that a Dockerfile gives as a JSON array."""
    (array,) = re.findall(rf"^{instruction} (\[.*?\])$", dockerfile, re.MULTILINE | re.DOTALL)
    return json.loads(array.replace("\\\n", ""))


def test_the_container_serves_behind_nginx_under_the_name_that_compose_publishes(served):
    program, *arguments = command(DOCKERFILE, "ENTRYPOINT")
    assert main([*arguments, *COMPOSE["services"]["attnpanel"]["command"]]) == 0

    (published,) = COMPOSE["services"]["nginx"]["ports"]
    assert program == "attnpanel"
    assert served.options["address"] == "0.0.0.0"  # noqa: S104 - compared, not bound
    assert served.options["behind_proxy"]
    assert served.options["origins"] == (f"localhost:{published.partition(':')[0]}",)
    assert f"EXPOSE {served.options['port']}\n" in DOCKERFILE
    assert f"server attnpanel:{served.options['port']};" in (ROOT / "deploy/nginx.conf").read_text()


def test_the_space_serves_the_port_that_its_card_names(served):
    program, *arguments = command(SPACE, "CMD")
    assert main(arguments) == 0

    card = yaml.safe_load((ROOT / "deploy/space/README.md").read_text().split("---")[1])
    assert program == "attnpanel"
    assert served.options["port"] == card["app_port"]
    assert "*.hf.space" in served.options["origins"]


@pytest.mark.parametrize("dockerfile", [DOCKERFILE, SPACE], ids=["container", "space"])
def test_a_container_does_not_run_as_root(dockerfile):
    last_root = max(m.end() for m in re.finditer(r"^(RUN|FROM) ", dockerfile, re.MULTILINE))

    assert re.search(r"^USER (?!root|0)\w+$", dockerfile[last_root:], re.MULTILINE)


def test_the_health_check_asks_a_path_that_answers():
    assert f"http://127.0.0.1:5006{HEALTH[0]}'" in DOCKERFILE


def test_the_space_installs_the_torch_that_was_run():
    (pin,) = re.findall(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    assert f'"torch=={pin}"' in SPACE


def test_nginx_has_the_rules_of_the_guide():
    (guide,) = re.findall(
        r"^```nginx\n(.*?)^```", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE | re.DOTALL
    )
    rules = {line.strip() for line in guide.splitlines() if "ssl" not in line}
    own = {
        line.strip().replace("$http_host", "$host")
        for line in (ROOT / "deploy/nginx.conf").read_text().splitlines()
        if not line.startswith("#")
    }

    assert rules - own == {"server 127.0.0.1:5006;", "server_name attention.example.org;"}


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_accepts_its_configuration(tmp_path):
    rules = (ROOT / "deploy/nginx.conf").read_text().replace("attnpanel:5006", "127.0.0.1:5006")
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid;\nerror_log {tmp_path}/log;\nevents {{}}\nhttp {{\naccess_log off;\n"
        + "".join(
            f"{kind}_temp_path {tmp_path}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"{rules}}}\n"
    )
    test = ["nginx", "-t", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "log")]

    ran = subprocess.run(test, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr


def test_only_the_publishing_job_may_sign_and_write():
    jobs = WORKFLOWS["release.yml"]["jobs"]

    assert WORKFLOWS["release.yml"]["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["environment"] == "pypi"
    assert jobs["publish"]["needs"] == "build"


def test_what_a_workflow_installs_is_pinned():
    pins = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    steps = [
        step.get("run", "")
        for workflow in WORKFLOWS.values()
        for job in workflow["jobs"].values()
        for step in job["steps"]
    ]
    installed = {
        name
        for run in steps
        for line in re.findall(r"pip install --constraint constraints.txt ([^\n]*)", run)
        for name in line.partition(" --")[0].split()
        if not name.startswith(("-", ".", "dist"))
    }

    assert {"build", "twine", "check-wheel-contents"} <= installed
    assert installed - pins == set()
