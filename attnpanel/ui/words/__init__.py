"""Words of pages in other languages: one JSON file a language, by the English text in the source.

A text that a file lacks stays English. Python translates what it makes itself when it makes it; a
component's module gets the words it uses put before its text (`words_for_module`), so that they are
there in a page, a report, a notebook and a Worker alike. English pages hold none.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from panel.io.state import state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bokeh.document import Document

FOLDER: Final = Path(__file__).parent
ENGLISH: Final = "en"
# The query parameter of an address that names the language.
ADDRESS: Final = "lang"

_CHOSEN: ContextVar[str | None] = ContextVar("language", default=None)
# Of each session's page its language, and whether its address names it.
_OF_DOCUMENT: WeakKeyDictionary[Document, tuple[str, bool]] = WeakKeyDictionary()


@cache
def languages() -> dict[str, str]:
    """Return the name of each language, in that language, by its code; English first."""
    codes = sorted(path.stem for path in FOLDER.glob("*.json"))
    return {ENGLISH: "English"} | {code: str(_file(code)["language"]) for code in codes}


@cache
def words(language: str) -> Mapping[str, str]:
    """Return a language's words by the English ones; empty for English."""
    return {} if language == ENGLISH else _file(language)["words"]


def _file(language: str) -> dict[str, Any]:
    text = (FOLDER / f"{language}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def check_language(language: str) -> str:
    """Return a language's code.

    Raises
    ------
    ValueError
        If there is no such language.
    """
    if language not in languages():
        raise ValueError(f"a language must be one of {', '.join(languages())}; got {language!r}")
    return language


def current_language() -> str:
    """Return the language of what is being made: of `use_language`, else of the session's page."""
    return _CHOSEN.get() or _of_page()[0]


def linked_language() -> dict[str, str]:
    """Return the query parameter that keeps a page's language in its links, or none."""
    language, named = _of_page()
    return {ADDRESS: language} if named else {}


def offered_languages() -> dict[str, str]:
    """Return what a page offers: all languages, or none where its address can't choose one."""
    return languages() if state.curdoc in _OF_DOCUMENT else {}


def _of_page() -> tuple[str, bool]:
    document = state.curdoc
    return (ENGLISH, False) if document is None else _OF_DOCUMENT.get(document, (ENGLISH, False))


@contextmanager
def use_language(language: str | None) -> Iterator[None]:
    """Make what is made inside in a language; None leaves it as it is.

    Raises
    ------
    ValueError
        If there is no such language.
    """
    token = _CHOSEN.set(_CHOSEN.get() if language is None else check_language(language))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def set_document_language(document: Document, language: str, *, named: bool) -> None:
    """Set the language of a page, for what is made in it from now on.

    Parameters
    ----------
    document : Document
    language : str
    named : bool
        Whether the page's address names it, so that links to other pages have to.
    """
    _OF_DOCUMENT[document] = (check_language(language), named)


def t(text: str, /, **values: object) -> str:
    """Return a text in the current language, with its `{placeholders}` filled.

    Parameters
    ----------
    text : str
        In English, which is the key. A literal, or a row of a table that `docs/write_words.py`
        lists.
    **values
        By the names of the placeholders.
    """
    found = words(current_language()).get(text, text)
    return found.format_map(values) if values else found


@cache
def words_for_module(module: str, language: str) -> str:
    """Return what stands before a JavaScript module's text: the words that it uses, as a constant.

    See `js/core/translate.js`. Empty in English, and for a module that uses no words.
    """
    # As esbuild writes a literal.
    used = {
        key: text
        for key, text in words(language).items()
        if any(f"{quote}{key}{quote}" in module for quote in "\"'`")
    }
    if not used:
        return ""
    table = json.dumps(used, ensure_ascii=False, separators=(",", ":"))
    return f"const attnpanelWords={table};\n"


def choose_language(asked: str | None, default: str | None, accepted: str | None) -> str:
    """Return the language of a visitor's page.

    Parameters
    ----------
    asked : str or None
        What the address asks for; untrusted input, and ignored unless it is a language.
    default : str or None
        The server's; None leaves it to the browser.
    accepted : str or None
        The browser's Accept-Language header; untrusted input.
    """
    if asked in languages():
        return str(asked)
    if default is not None:
        return default
    preferred = sorted(_preferences((accepted or "")[:1000]), key=lambda each: -each[1])
    found = (code for code, weight in preferred if weight > 0 and code in languages())
    return next(found, ENGLISH)


def _preferences(header: str) -> Iterator[tuple[str, float]]:
    """Parse an Accept-Language header into codes without their region, and weights."""
    for part in header.split(","):
        name, _, parameter = part.strip().partition(";")
        weight = parameter.strip().removeprefix("q=")
        try:
            yield name.split("-")[0].lower(), float(weight) if parameter else 1.0
        except ValueError:
            continue
