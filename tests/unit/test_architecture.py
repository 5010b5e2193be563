"""The shape of the tree: what import-linter and ruff do not check."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

grimp = pytest.importorskip("grimp")

MAX_ENTRIES = 14
LONGEST_CIRCLE = 5
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc"}


def test_the_import_contracts_hold(root):
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as lint; lint()",
    ]
    checked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    assert "0 broken" in checked.stdout, checked.stdout + checked.stderr
    assert checked.returncode == 0


def test_the_package_has_few_entries(root):
    entries = {path.name for path in (root / "attnpanel").iterdir()} - {"__pycache__"}

    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def test_no_module_has_a_vague_name(root):
    modules = [path for room in ("attnpanel", "reports") for path in root.glob(f"{room}/**/*.py")]

    assert [
        path for path in modules if VAGUE_NAMES & {path.stem, *path.relative_to(root).parts}
    ] == []


def test_no_import_circle_is_long():
    graph = grimp.build_graph(
        "attnpanel", "reports", exclude_type_checking_imports=True, cache_dir=None
    )
    imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}

    assert len(imported) > 200  # a graph that found nothing has no circles
    assert [circle for circle in circles(imported) if len(circle) > LONGEST_CIRCLE] == []


@pytest.mark.parametrize(
    ("imported", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [{"a", "b"}]),
        (
            {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}},
            [{"d", "e"}, {"a", "b", "c"}],
        ),
    ],
)
def test_circles_are_found(imported, expected):
    assert circles(imported) == expected


def circles(imported: dict[str, set[str]]) -> list[set[str]]:
    """Return the strongly connected components of more than one module (Tarjan, 1972)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in sorted(imported[name]):
            if other not in index:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == index[name]:
            component = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            found.extend([component] if len(component) > 1 else [])

    for name in sorted(imported):
        if name not in index:
            visit(name)
    return found


def test_no_browser_test_waits_for_a_promise(root):
    # Playwright's wait_for_function takes the promise of an async function for a truth.
    waits = re.compile(r"wait_for_function\(\s*[rf]?[\"']+\s*async")
    tests = sorted((root / "tests").rglob("*.py"))

    assert waits.search('page.wait_for_function(\n  f"""async () => 1""")')
    assert [path.name for path in tests if waits.search(path.read_text(encoding="utf-8"))] == []


def test_no_file_is_longer_than_400_lines(root):
    files = [
        path
        for package, ending in (
            ("attnpanel", "py"),
            ("reports", "py"),
            ("js", "js"),
        )
        for path in (root / package).rglob(f"*.{ending}")
        if "node_modules" not in path.parts
    ]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}

    assert len(lengths) > 400
    assert {path.name: length for path, length in lengths.items() if length > 400} == {}
