"""What the documents promise is there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.ipynb")])
# Of Markdown, and of the pictures that have a light and a dark file.
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Where a page, or the words of a notebook, lead to."""
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "markdown")
    shown = CODE.sub("", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))
    return [link or picture for link, picture in LINK.findall(shown)]


def broken_links(page: Path) -> list[str]:
    """Links of a page to files and headings that are not there."""
    broken = []
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_the_site_leads_to_every_page():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    named = {line.split()[-1] for line in nav.splitlines() if line.endswith(".md")}
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}

    made = {"gallery.md", "changelog.md", "security.md", "contribute.md"}  # docs/site_hooks.py
    assert named == pages | made


def test_every_patch_of_bokeh_and_panel_has_an_issue_text():
    patches = {path.stem for path in ROOT.glob("js/bokeh_patches/*.js")} - {"patch"}
    texts = {path.stem for path in ROOT.glob("docs/upstream/*.md")}

    assert texts == patches | {"README", "property_defaults"}  # ui/bokeh_defaults.py


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](missing.md) [b](#a-title) [c](#other) [d](https://x.org/y)")

    assert broken_links(page) == ["missing.md", "#other"]


def test_a_missing_picture_is_found_and_code_is_no_link(tmp_path):
    page = tmp_path / "page.md"
    page.write_text('`a[0](x)`\n<source srcset="dark.png"><img alt="" src="page.md">')
    notebook = tmp_path / "page.ipynb"
    cell = {"cell_type": "markdown", "source": ["![a](light.png)\n", "[b](page.md)"]}
    notebook.write_text(json.dumps({"cells": [cell]}))

    assert broken_links(page) == ["dark.png"]
    assert broken_links(notebook) == ["light.png"]


def test_every_picture_is_shown_in_a_document_and_has_a_light_and_a_dark_file():
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    pictures = set((ROOT / "docs" / "pictures").iterdir())

    assert pictures - shown == set()
    names = [re.fullmatch(r"(.*)-(light|dark)(\.\w+)", picture.name) for picture in pictures]
    assert all(names)
    assert len({(name[1], name[3]) for name in names if name}) * 2 == len(pictures)


def test_make_help_lists_every_target():
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "serve" in targets
    assert re.findall(r"^  make ([a-z-]+)  ", shown.stdout, re.MULTILINE) == targets


def test_every_make_command_in_the_documents_is_a_target():
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pages = [*PAGES, ROOT / ".ci" / "run"]
    named = re.findall(
        r"(?:^|`)make ([a-z-]+)", "\n".join(p.read_text() for p in pages), re.MULTILINE
    )

    assert set(named) >= {"serve", "test", "check"}
    assert set(named) - set(targets) == set()


def test_the_constraints_name_every_package_once_and_no_build_of_torch():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    names = [re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins]

    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert len(names) == len(set(names))
    assert "torch==2.13.0" in pins
