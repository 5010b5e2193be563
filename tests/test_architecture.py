"""The direction of import, held over every file: docs/architecture.md draws the same table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# Each row may import the rows above it, never its own neighbours or a row below. A part is a
# module or a folder of attnpanel; inside a folder, files may import one another.
LAYERS = (
    ("rules", "errors", "whole_file"),
    ("attention", "masks"),
    ("attention_call",),
    ("trace",),
    ("kernels", "sources", "analysis", "comparison", "annotations", "change"),
    ("selection", "training"),
    ("state", "theme", "to_page"),
    ("views", "browser", "payload", "exercises"),
    ("page_work", "change_choice"),
    ("controls", "driver", "feed", "choosers", "offline", "navigation", "stills"),
    ("head_reading",),
    ("explorer", "comparison_figures", "change_card"),
    ("report", "compare"),
    ("compare_report",),
    ("page", "compare_page", "exercises_page", "lab"),
    ("site",),
    ("app", "server"),
    ("cli",),
    ("__main__",),
)
# Trace.save, load and select live in trace.py, what they do in these: one part in four files.
SAME_PART = {"trace_file": "trace", "trace_header": "trace", "trace_choice": "trace"} | {
    # The command line in two files.
    "cli_training": "cli"
}
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
# Of the bench, reports take what was measured and how it is drawn and laid out.
REPORTS_MAY_IMPORT = {"bench.results", "bench.plots", "bench.page.report", "bench.page.runs"}
BENCH_MAY_IMPORT = {
    *("attention", "masks", "kernels", "report", "sources", "trace", "views"),
    # Its page looks and behaves as the explorer's does, and is written as the explorer's report is.
    *("theme", "browser", "offline", "navigation", "page_work", "to_page", "whole_file"),
}
# Stricter than the rows: an oracle shared with what it judges is no oracle.
NEVER = {"kernels": {"attnpanel.attention"}, "state": {"panel", "holoviews", "bokeh"}}
# Seconds to import, and not in the wheel: only functions import these, so that the app starts
# without them.
# This one has torch at its top, so that it reads as PyTorch is written; only functions import it.
WRITTEN_IN_TORCH = "attnpanel/sources/tiny_lm"
LAZY = {
    "attnpanel.sources.tiny_lm",
    "torch",
    "transformers",
    "jax",
    "onnx",
    "onnxruntime",
    "threadpoolctl",
    "distributed",
}
# Against the direction, and only where a function needs it: what a call hands itself on to.
LATE = {"trace": {"analysis", "explorer", "report"}}
# The chain from `import attnpanel` to a Trace works with NumPy and nothing else.
PANEL_STACK = {"panel", "holoviews", "bokeh", "param", "pandas"}
NUMPY_ONLY = {"__init__", *(part for layer in LAYERS[: RANK["state"]] for part in layer)}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "misc"}


def imports(tree: ast.AST) -> Iterator[tuple[str, str, bool]]:
    """Yield module, imported name and whether it stands outside every function."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        eager = id(node) not in inside | typing_only
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), a.name, eager) for a in node.names)


def violations(root: Path) -> list[str]:
    """Every breach of the tables above, as sentences."""
    found = []
    packages = ("attnpanel", "bench", "reports")
    for path in sorted(path for name in packages for path in root.glob(f"{name}/**/*.py")):
        inside = path.relative_to(root).with_suffix("").parts
        package, part = inside[0], SAME_PART.get(inside[1], inside[1])
        where = "/".join(inside) + ".py"
        if NO_NAMES & set(inside):
            found.append(f"{where}: a name that says nothing")
        if package == "attnpanel" and part != "__init__" and part not in RANK:
            found.append(f"{where}: {part} has no row in LAYERS")
            continue
        for module, name, eager in imports(ast.parse(path.read_text())):
            if where == f"{WRITTEN_IN_TORCH}.py" and module.split(".")[0] == "torch":
                continue
            wrong = breach(package, part, module, name, eager=eager)
            if wrong:
                found.append(f"{where}: {wrong}")
    return list(dict.fromkeys(found))


def breach(package: str, part: str, module: str, name: str, *, eager: bool) -> str | None:
    """The rule that an import by `part` breaks, or None."""
    top, _, rest = module.partition(".")
    if not top:
        return f"relative import {module}{name}"
    named = {module, f"{module}.{name}"}
    allowed = package == "reports" and named & REPORTS_MAY_IMPORT
    if top in {"bench", "reports", "tests"} and top != package and not allowed:
        return f"{package} imports {top}"
    if eager and {top, module} & LAZY and package == "attnpanel":
        return f"{module if module in LAZY else top} outside a function"
    if eager and top in PANEL_STACK and package == "attnpanel" and part in NUMPY_ONLY:
        return f"{top} in a part that needs NumPy only"
    if {top, *named} & NEVER.get(part, set()):
        return f"{part} never imports {module}"
    if top != "attnpanel" or part == "__init__" or package == "reports":
        return None
    target = (rest or name).split(".")[0]
    target = SAME_PART.get(target, target)
    if package == "bench":
        return None if target in BENCH_MAY_IMPORT else f"bench imports attnpanel.{target}"
    late = not eager and target in LATE.get(part, set())
    if target != part and RANK.get(target, len(LAYERS)) >= RANK[part] and not late:
        return f"{part} imports attnpanel.{target}, which is not above it in LAYERS"
    return None


def test_every_import_goes_upwards_in_the_table(root):
    assert violations(root) == []


@pytest.mark.parametrize(
    ("file", "source", "complaint"),
    [
        ("attnpanel/trace.py", "from attnpanel.views import x", "trace imports attnpanel.views"),
        ("attnpanel/trace.py", "from attnpanel import state", "trace imports attnpanel.state"),
        ("attnpanel/trace.py", "def f():\n import attnpanel.cli", "trace imports attnpanel.cli"),
        ("attnpanel/trace.py", "from attnpanel.report import x", "trace imports attnpanel.report"),
        ("attnpanel/state.py", "def f():\n import attnpanel.report", "state imports attnpanel.r"),
        ("attnpanel/masks.py", "from attnpanel.attention import x", "not above it"),
        ("attnpanel/masks.py", "from . import trace", "relative import"),
        ("attnpanel/trace.py", "from attnpanel import attend", "not above it"),
        ("attnpanel/state.py", "import bench.timing", "attnpanel imports bench"),
        ("attnpanel/state.py", "import holoviews as hv", "state never imports holoviews"),
        ("attnpanel/kernels/a.py", "from attnpanel.attention import x", "kernels never imports"),
        ("attnpanel/kernels/a.py", "from attnpanel import attention", "kernels never imports"),
        ("attnpanel/views/a.py", "import torch.nn", "torch outside a function"),
        ("attnpanel/trace.py", "import param", "param in a part that needs NumPy only"),
        ("attnpanel/lab.py", "from attnpanel.sources.tiny_lm import TinyLM", "outside a function"),
        ("attnpanel/sources/utils.py", "", "a name that says nothing"),
        ("attnpanel/extra.py", "", "extra has no row in LAYERS"),
        ("bench/timing.py", "from attnpanel.explorer import x", "bench imports attnpanel.explorer"),
        ("bench/timing.py", "import reports", "bench imports reports"),
        ("attnpanel/report.py", "from reports import table", "attnpanel imports reports"),
        ("reports/a.py", "from bench.timing import x", "reports imports bench"),
    ],
)
def test_a_breach_is_found(tmp_path, file, source, complaint):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)

    assert len(violations(tmp_path)) == 1
    assert complaint in violations(tmp_path)[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("attnpanel/sources/a.py", "def f():\n    import torch"),
        ("attnpanel/sources/tiny_lm.py", "import torch"),
        ("attnpanel/sources/a.py", "if TYPE_CHECKING:\n    import torch"),
        ("attnpanel/sources/a.py", "from attnpanel.sources.b import x"),
        ("attnpanel/cli.py", "from attnpanel.trace import Trace"),
        ("attnpanel/trace.py", "def f():\n    from attnpanel.report import x"),
        ("reports/a.py", "from attnpanel.report import x\nfrom bench.results import y"),
        (
            "bench/timing.py",
            "import torch\nfrom bench.cases import x\nfrom attnpanel.masks import y",
        ),
    ],
)
def test_what_is_allowed_is_not_complained_about(tmp_path, file, source):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(source)

    assert violations(tmp_path) == []
