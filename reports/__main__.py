"""`python -m reports [NAME…] -o DIR`: build the ready-made reports and an index of them."""

from __future__ import annotations

import argparse
import html
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attnpanel.attention.errors import os_error_text
from attnpanel.trace.atomic_write import atomic_write_text
from reports.table import REPORTS

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reports of attnpanel</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 44em; margin: 3em auto; padding: 0 1em; }}
li {{ margin: 1em 0; }}
small {{ opacity: 0.75; }}
</style>
</head>
<body>
<h1>Reports of attnpanel</h1>
<p>Each is one file that opens without a server or a network; every control in it is live.</p>
<ul>
{rows}
</ul>
</body>
</html>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m reports", description="Build the ready-made reports."
    )
    names = [report.name for report in REPORTS]
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; all by default"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="created if missing"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"no report is called {unknown[0]!r}; there are {', '.join(names)}")
    try:
        build(options.names or names, options.output)
    except OSError as error:
        print(f"reports: {os_error_text(error)}", file=sys.stderr)
        return 1
    except (ValueError, ImportError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 1
    return 0


def build(names: Sequence[str], folder: Path) -> None:
    """Build the named reports, and an index of all reports in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for report in REPORTS:
        if report.name in names:
            path = report.build(folder / f"{report.name}.html", report.title)
            print(f"{path}: {_size(path)}")
    index = folder / "index.html"
    atomic_write_text(index, [INDEX.format(rows=_rows(folder))])
    print(f"{index}: {_size(index)}")


def _rows(folder: Path) -> str:
    rows = []
    for report in REPORTS:
        path = folder / f"{report.name}.html"
        if path.is_file():
            title, purpose = html.escape(report.title), html.escape(report.purpose)
            name = html.escape(path.name)
            rows.append(
                f'<li><a href="{name}">{title}</a> <small>{_size(path)}</small><br>{purpose}</li>'
            )
    return "\n".join(rows)


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


if __name__ == "__main__":
    sys.exit(main())
