"""What MkDocs needs beside the documents: pages of the root, of the reports, and links to them.

A link in a document leads to a file of the repository. In the site a notebook is the page that
`make docs` makes of it, and the documents of the root are pages like the others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from reports.table import REPORTS

ROOT = Path(__file__).resolve().parents[1]
# Documents of the root, and their pages.
PAGES = {
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contribute.md",
}
# Files of the root that are no pages: shown as text.
TEXTS = ("CITATION.cff", "constraints.txt", "LICENSE", "docs/examples/offline_app.py")
GALLERY = """# Gallery

Each of these is one offline file with live controls, written by `make report`: save it, mail it,
open it without a network.

"""


def on_files(files: Any, *, config: Any) -> Any:
    """Add the root's documents and the gallery."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for name in TEXTS:
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, f"{Path(name).name}.txt", content=content))
    files.append(File.generated(config, "gallery.md", content=GALLERY + "\n".join(_reports())))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Begin the first page with the root's README, and have links lead to pages of the site."""
    if page.file.src_uri == "README.md":
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        # The badges are pictures of another site.
        readme = re.sub(r"^.*https://img\.shields\.io.*\n", "", readme, flags=re.MULTILINE)
        markdown = readme.replace('"docs/', '"') + markdown.replace("# How to", "## All guides")
    for source, page in PAGES.items():
        markdown = re.sub(rf"\]\((\.\./)?{re.escape(source)}", f"]({page}", markdown)
    for name in TEXTS:
        markdown = re.sub(rf"\]\((\.\./)?{re.escape(name)}\)", f"]({name}.txt)", markdown)
    markdown = re.sub(r"\]\(docs/", "](", markdown)
    markdown = markdown.replace("](examples)", "](notebooks.md)")
    markdown = markdown.replace("](examples/offline_app.py)", "](offline_app.py.txt)")
    # As HTML: MkDocs would look for a file that only `make docs` makes.
    return re.sub(
        r"\[([^\]]+)\]\(examples/([\w]+)\.ipynb\)", r'<a href="examples/\2.html">\1</a>', markdown
    )


def _reports() -> list[str]:
    return [
        f'- <a href="demos/{report.name}.html">{report.title}</a>: {report.purpose}'
        for report in REPORTS
    ]
