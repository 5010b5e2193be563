"""Run the notebooks of docs/examples and write what their cells print into them.

``python docs/run_notebooks.py`` runs them all, in this process and without Jupyter, as the tests
do. What a cell prints is kept in the file, so that it can be read where nothing runs; explorers
and other pictures are left out, which would be megabytes of JavaScript. `make docs` makes the
pages that hold them, by Jupyter itself.
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
    """Run every notebook and write its outputs anew."""
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        notebook = json.loads(path.read_text())
        for cell, outputs in zip(code_cells(notebook), outputs_of(notebook), strict=True):
            cell["outputs"] = outputs
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        print(path.relative_to(Path.cwd()))  # noqa: T201 - a command line prints


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells that hold code."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs_of(notebook: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Run a notebook from top to bottom in a new folder; the texts that each cell gives.

    Returns
    -------
    list of list of dict
        For each code cell its outputs, as Jupyter's format has them: what was printed, then the
        value of the last line where that is text. Of a cell with the tag ``optional``, which says
        something else where a package is missing, none.

    Raises
    ------
    Exception
        Whatever a cell raises.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    with empty_folder():
        made = [_run("".join(cell["source"]), names) for cell in code_cells(notebook)]
    tags = [cell["metadata"].get("tags", []) for cell in code_cells(notebook)]
    return [[] if "optional" in its else given for its, given in zip(tags, made, strict=True)]


@contextmanager
def empty_folder() -> Iterator[None]:
    """Work in a folder that is gone afterwards: examples write files."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        yield


def _run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one cell; as in Jupyter, the value of a last line that is an expression is shown."""
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
    if value is not None and not _is_picture(value):
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


def _is_picture(value: object) -> bool:
    """Whether a notebook shows a value as a picture; it is made here, to see that it can be."""
    import holoviews as hv
    import panel as pn

    if not (hasattr(value, "__panel__") or isinstance(value, hv.core.Dimensioned)):
        return False
    pn.panel(value).get_root()
    return True


if __name__ == "__main__":
    main()
