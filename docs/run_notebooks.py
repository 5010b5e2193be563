"""Run the notebooks of docs/examples and store their text outputs in them.

``python docs/run_notebooks.py`` runs them all, in this process and without Jupyter, as the tests
do. Text outputs are stored, so that they can be read without running; explorers and plots are left
out, since they take megabytes of JavaScript. `make docs` renders those by Jupyter itself.
"""

from __future__ import annotations

import ast
import io
import json
import tempfile
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parent / "examples"


def main() -> None:
    """Run every notebook and replace its stored outputs."""
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        notebook = json.loads(path.read_text())
        for cell, outputs in zip(code_cells(notebook), outputs_of(notebook), strict=True):
            cell["outputs"] = outputs
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        print(path.relative_to(Path.cwd()))  # noqa: T201 - a command line prints


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the code cells."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs_of(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Run a notebook in a new folder and return the text outputs of each cell.

    Returns
    -------
    list of list of dict
        For each code cell its outputs in Jupyter's format: printed text, then the value of the
        last line if that is text. Empty for a cell tagged ``optional``, whose output depends on the
        installed packages.

    Raises
    ------
    Exception
        Any exception that a cell raises.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    with empty_folder():
        outputs = [_run("".join(cell["source"]), names) for cell in code_cells(notebook)]
    return [
        [] if "optional" in cell["metadata"].get("tags", []) else output
        for cell, output in zip(code_cells(notebook), outputs, strict=True)
    ]


@contextmanager
def empty_folder() -> Iterator[None]:
    """Change to a temporary folder, since examples write files."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        yield


def _run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one cell; as in Jupyter, the value of a final expression is an output."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)  # noqa: S102 - our own notebooks
        if isinstance(last, ast.Expr) and not source.rstrip().endswith(";"):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)  # noqa: S307 - our own notebooks
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())}
        )
    if value is not None and not _is_plot(value):
        text = {"text/plain": _lines(repr(value))}
        outputs.append(
            {
                "data": text,
                "execution_count": None,
                "metadata": {},
                "output_type": "execute_result",
            }
        )
    return outputs


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _is_plot(value: object) -> bool:
    """Return whether a notebook displays a value as a plot; if so, render it as a check."""
    import holoviews as hv
    import panel as pn

    if not (hasattr(value, "__panel__") or isinstance(value, hv.core.Dimensioned)):
        return False
    pn.panel(value).get_root()
    return True


if __name__ == "__main__":
    main()
