"""Write docs/api.md: every public name with its signature and its docstring.

``python docs/write_api.py`` writes the page anew; a test compares it with what it would write.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "api.md"
# A module whose names are public, and what it is for.
MODULES = (
    ("attnpanel", "What one imports: `import attnpanel as ap`. It loads NumPy only."),
    ("attnpanel.analysis", "Numbers about heads, each with its formula and source."),
    ("attnpanel.comparison", "Two traces side by side, in numbers."),
    ("bench", "Is an implementation of attention right? [The guide](bench.md)."),
)
WIDEST = 80
HEAD = """# Every public name

Written by `python docs/write_api.py` from the docstrings, which say the same in `help()`.
"""
SECTION = re.compile(r"^([A-Z][a-z]+)\n-+\n", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod|attr):`~?([^`]+)`")
# Sections whose entries are ``name : type`` with a text below.
LISTED = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns")


def main() -> None:
    """Write the page."""
    PAGE.write_text(api_page())


def api_page() -> str:
    """Return the page's Markdown."""
    parts = [HEAD]
    for module_name, about in MODULES:
        module = importlib.import_module(module_name)
        parts.append(f"## {module_name}\n\n{about}\n")
        parts += [entry(name, getattr(module, name)) for name in sorted(module.__all__, key=key)]
    return "\n".join(parts)


def key(name: str) -> tuple[str, str]:
    """Order names as a reader looks them up."""
    return name.lower(), name


def entry(name: str, thing: Any) -> str:
    """Return the part about one name: what it is, how it is called, what its docstring says."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return f"### {name}\n\n{constant(thing)}\n"
    text = f"### {name}\n\n{call(name, thing)}\n\n{prose(thing)}\n"
    if inspect.isclass(thing):
        text += "".join(
            f"\n#### {name}.{method}\n\n{call(method, member)}\n\n{prose(member)}\n"
            for method, member in methods(thing)
        )
    return text


def call(name: str, thing: Any) -> str:
    """Return a name with its parameters, as a block that no test runs."""
    return f"```python notest\n{name}{signature(thing)}\n```"


def constant(thing: Any) -> str:
    """Return a line about a table or a list of names."""
    if not isinstance(thing, list | tuple | dict):
        return f"A type: `{thing}`."
    names = ", ".join(f"`{getattr(one, 'name', one)}`" for one in thing)
    return f"A {type(thing).__name__}: {names}."


def methods(kind: type) -> list[tuple[str, Any]]:
    """Return the public methods and properties that a class of this project defines itself."""
    return [
        (name, getattr(kind, name))
        for name, member in vars(kind).items()
        if not name.startswith("_")
        and isinstance(member, property | classmethod | staticmethod | type(entry))
        and inspect.getdoc(getattr(kind, name))
    ]


def signature(thing: Any) -> str:
    """Return a call's parameters as they are written, or nothing for a property."""
    if isinstance(thing, property):
        return ""
    found = inspect.signature(thing)
    given = [one for name, one in found.parameters.items() if name != "self"]
    shown = found.replace(parameters=given)
    if inspect.isclass(thing):
        shown = shown.replace(return_annotation=found.empty)
    # Annotations are kept as texts, which Python writes in quotes.
    text = re.sub(r"(: |-> )'((?:[^'\\]|\\.)*)'", r"\1\2", str(shown))
    if len(text) < WIDEST:
        return text
    inside, _, returned = text[1:].rpartition(")")
    return "(\n    " + ",\n    ".join(split_parameters(inside)) + f",\n){returned}"


def split_parameters(text: str) -> list[str]:
    """Return what stands between the commas of a call, brackets left whole."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def prose(thing: Any) -> str:
    """Return a docstring as Markdown: its text, its lists of parameters, its examples."""
    text = inspect.getdoc(thing) or ""
    first, *sections = SECTION.split(ROLE.sub(r"``\1``", text))
    parts = [plain(first)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title in LISTED:
            parts.append(f"**{title}**\n\n{listed(body)}")
        elif title == "Examples":
            parts.append(f"**{title}**\n\n{examples(body)}")
        else:
            parts.append(f"**{title}**\n\n{plain(body)}")
    return "\n\n".join(part for part in parts if part)


def plain(text: str) -> str:
    """Return running text; what stands indented after ``::`` is code."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text.strip()).replace("::\n", ":\n")
    return text.replace("<", "&lt;") if "`" not in text else text


def listed(body: str) -> str:
    """Return ``name : type`` with its indented text as one item each."""
    items = re.findall(r"^(\S[^\n]*)\n?((?:(?:    [^\n]*|)\n?)*)", body, re.MULTILINE)
    return "\n".join(
        f"- `{name.replace('``', '')}`"
        + (f": {' '.join(plain(text).split())}" if text.strip() else "")
        for name, text in items
    )


def examples(body: str) -> str:
    """Return examples: what is typed and answered as code, the words between as text."""
    parts = []
    for block in re.split(r"\n\s*\n", body.strip()):
        if ">>> " in block:
            words, code = re.match(r"((?:(?!>>> ).*\n)*)((?:.*\n?)*)", block).groups()
            code = re.sub(r"\s*# doctest:.*", "", code)
            parts += [plain(words)] * bool(words.strip()) + [f"```pycon\n{code.strip()}\n```"]
        else:
            parts.append(plain(block))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
