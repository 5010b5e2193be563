"""What a certificate is about: a function or an implementation, with a hash of its source."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attnpanel.bench.run.exception_text import format_exception
from attnpanel.kernels import find_implementation
from attnpanel.kernels.implementation import Implementation

if TYPE_CHECKING:
    from collections.abc import Callable

# Begins the reason of a row whose implementation cannot be imported.
NOT_IMPORTED: Final = "cannot be imported"


@dataclass(frozen=True)
class Subject:
    """Name and source of what is certified.

    Attributes
    ----------
    name : str
        ``module:NAME``, or the name of one of this project's implementations.
    kind : str
        ``"function"`` or ``"implementation"``.
    file : str
        Name of the file that defines it, without its folder; empty if it is not known.
    source_sha256 : str or None
        Of the text of the function. None if there is no source, as of compiled code.
    file_sha256 : str or None
        Of the whole file: what the function calls there is hashed, too.
    """

    name: str
    kind: str
    file: str
    source_sha256: str | None
    file_sha256: str | None


def load_subject(name: str) -> Implementation | Callable[..., Any]:
    """Import ``module:NAME``, or find an implementation of this project by its name.

    Raises
    ------
    ImportError
        If the module or the name is not there, whatever the module raised.
    TypeError
        If it is neither an Implementation nor callable.
    ValueError
        If no implementation of this project has this name.
    """
    module, _, attribute = name.rpartition(":")
    if not module:
        return find_implementation(name)
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise ImportError(f"{name} {NOT_IMPORTED}: {format_exception(error)}") from error
    if not (isinstance(found, Implementation) or callable(found)):
        raise TypeError(
            f"module:NAME must be a function or an Implementation; got {type(found).__name__}"
        )
    return found


def name_of(subject: Implementation | Callable[..., Any]) -> str:
    """Return a name by which an object may be found again: ``module:NAME`` of a function."""
    if isinstance(subject, Implementation):
        return subject.name
    function = _function_in(subject)
    return f"{function.__module__}:{function.__qualname__}"


def describe_subject(subject: Implementation | Callable[..., Any], name: str) -> Subject:
    """Return a subject's name and the hashes of its source."""
    known = isinstance(subject, Implementation)
    function = _function_in(subject.prepare if isinstance(subject, Implementation) else subject)
    try:
        source = inspect.getsource(function).encode()
    except (OSError, TypeError):
        return Subject(name, "implementation" if known else "function", "", None, None)
    path = Path(inspect.getsourcefile(function) or "")
    whole = path.read_bytes() if path.is_file() else None
    return Subject(
        name=name,
        kind="implementation" if known else "function",
        file=path.name,
        source_sha256=hashlib.sha256(source).hexdigest(),
        file_sha256=None if whole is None else hashlib.sha256(whole).hexdigest(),
    )


def _function_in(subject: Any) -> Any:
    """Return the function behind a partial, a decorator, or an object that is called."""
    while isinstance(subject, partial):
        subject = subject.func
    subject = inspect.unwrap(subject)
    if inspect.isroutine(subject) or inspect.isclass(subject):
        return subject
    return type(subject)
