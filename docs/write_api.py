"""Write docs/api.md: every public name with its signature and its docstring.

``python docs/write_api.py`` rewrites the page; a test fails if the page is out of date.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

PAGE = Path(__file__).parent / "api.md"
# Modules whose names are public, each with its introduction.
MODULES = (
    ("attnpanel", "What one imports: `import attnpanel as ap`. It loads NumPy only."),
    ("attnpanel.analysis", "Numbers about heads, each with its formula and source."),
    ("attnpanel.comparison", "Two traces side by side, in numbers."),
    ("attnpanel.pages", "The served pages. [In your own Panel app](panel-apps.md)."),
    ("attnpanel.bench", "Is an implementation of attention right? [The guide](bench.md)."),
)
MAX_WIDTH = 80
HEAD = """# Every public name

Written by `python docs/write_api.py` from the docstrings, which say the same in `help()`.
"""
SECTION = re.compile(r"^([A-Z][a-z]+)\n-+\n", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod|attr):`~?([^`]+)`")
# Sections whose entries are ``name : type`` with an indented description.
LIST_SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Warns")


def main() -> None:
    """Write the page."""
    PAGE.write_text(api_page())


def api_page() -> str:
    """Return the page's Markdown."""
    parts = [HEAD]
    for module_name, introduction in MODULES:
        module = importlib.import_module(module_name)
        parts.append(f"## {module_name}\n\n{introduction}\n")
        names = sorted(module.__all__, key=lambda name: (name.lower(), name))
        parts += [document(name, getattr(module, name)) for name in names]
    return "\n".join(parts)


def document(name: str, item: Any) -> str:
    """Return the section of one name: its signature and its docstring."""
    if not (inspect.isclass(item) or inspect.isfunction(item)):
        return f"### {name}\n\n{constant(item)}\n"
    text = f"### {name}\n\n{signature_block(name, item)}\n\n{docstring(item)}\n"
    if inspect.isclass(item):
        text += "".join(
            f"\n#### {name}.{method}\n\n{signature_block(method, member)}\n\n{docstring(member)}\n"
            for method, member in methods(item)
        )
    return text


def signature_block(name: str, item: Any) -> str:
    """Return a name with its parameters, as a code block that is not run as a test."""
    return f"```python notest\n{name}{signature(item)}\n```"


def constant(item: Any) -> str:
    """Return a line about a type or a collection of names."""
    if not isinstance(item, list | tuple | dict):
        return f"A type: `{item}`."
    names = ", ".join(f"`{getattr(entry, 'name', entry)}`" for entry in item)
    return f"A {type(item).__name__}: {names}."


def methods(class_: type) -> list[tuple[str, Any]]:
    """Return the public methods and properties of a class, not those of other packages' classes."""
    own = {
        name: member
        for parent in class_.__mro__
        if parent.__module__.partition(".")[0] == class_.__module__.partition(".")[0]
        for name, member in vars(parent).items()
    }
    return [
        (name, getattr(class_, name))
        for name, member in own.items()
        if not name.startswith("_")
        and isinstance(member, property | classmethod | staticmethod | FunctionType)
        and inspect.getdoc(getattr(class_, name))
    ]


def signature(item: Any) -> str:
    """Return the parameters as written in the source; nothing for a property."""
    if isinstance(item, property):
        return ""
    full = inspect.signature(item)
    parameters = [value for name, value in full.parameters.items() if name != "self"]
    public = full.replace(parameters=parameters)
    if inspect.isclass(item):
        public = public.replace(return_annotation=full.empty)
    # Annotations are strings, which str() quotes.
    text = re.sub(r"(: |-> )'((?:[^'\\]|\\.)*)'", r"\1\2", str(public))
    if len(text) < MAX_WIDTH:
        return text
    inside, _, returned = text[1:].rpartition(")")
    return "(\n    " + ",\n    ".join(split_parameters(inside)) + f",\n){returned}"


def split_parameters(text: str) -> list[str]:
    """Split at the commas that are not inside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def docstring(item: Any) -> str:
    """Convert a docstring to Markdown: text, lists of parameters, examples."""
    text = inspect.getdoc(item) or ""
    first, *sections = SECTION.split(ROLE.sub(r"``\1``", text))
    parts = [prose(first)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        if title in LIST_SECTIONS:
            parts.append(f"**{title}**\n\n{item_list(body)}")
        elif title == "Examples":
            parts.append(f"**{title}**\n\n{examples(body)}")
        else:
            parts.append(f"**{title}**\n\n{prose(body)}")
    return "\n\n".join(part for part in parts if part)


def prose(text: str) -> str:
    """Convert running text; indented text after ``::`` stays code."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text.strip()).replace("::\n", ":\n")
    return text.replace("<", "&lt;") if "`" not in text else text


def item_list(body: str) -> str:
    """Convert entries of ``name : type`` with an indented description to a list."""
    items = re.findall(r"^(\S[^\n]*)\n?((?:(?:    [^\n]*|)\n?)*)", body, re.MULTILINE)
    return "\n".join(
        f"- `{name.replace('``', '')}`"
        + (f": {' '.join(prose(text).split())}" if text.strip() else "")
        for name, text in items
    )


def examples(body: str) -> str:
    """Convert examples: input and output as code, the sentences between as text."""
    parts = []
    for block in re.split(r"\n\s*\n", body.strip()):
        if ">>> " in block:
            text, code = re.match(r"((?:(?!>>> ).*\n)*)((?:.*\n?)*)", block).groups()
            code = re.sub(r"\s*# doctest:.*", "", code)
            parts += [prose(text)] * bool(text.strip()) + [f"```pycon\n{code.strip()}\n```"]
        else:
            parts.append(prose(block))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
