"""Errors whose message has the command or the step that resolves them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import os

# The longest sentence of an error on a page.
MAX_CHARACTERS: Final = 500
# What to do about the errors of an operating system that a reader can resolve.
ADVICE: Final = {
    errno.ENOENT: "check the path, and that its folder exists",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "name a file in it",
    errno.EACCES: "choose a file that you may read, or a folder that you may write to",
    errno.EPERM: "choose a file that you may read, or a folder that you may write to",
    errno.EROFS: "choose a folder that can be written to",
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "close some files or pages, or raise the limit (ulimit -n)",
    errno.EIO: "the disk may be failing: try another one",
}


class MissingDependencyError(ImportError):
    """An optional package is needed; the message has the command that installs it."""


def os_error_text(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """Return an OSError as a sentence without a full stop: the file, the reason, what to do.

    Parameters
    ----------
    error : OSError
    path : path, optional
        The file that it is about; by default the one that the error names. An error that names
        none and has no error number, such as one of this package, is returned as it is.
    """
    if error.errno is None or error.strerror is None:
        return str(error)
    names = [path] if path is not None else [error.filename, error.filename2]
    named = " and ".join(str(name) for name in names if name is not None)
    reason = error.strerror[0].lower() + error.strerror[1:]
    advice = ADVICE.get(error.errno)
    return (f"{named}: " if named else "") + reason + (f"; {advice}" if advice else "")


def error_sentence(error: Exception) -> str:
    """Format an exception as one sentence, capitalised and with a full stop."""
    said = os_error_text(error) if isinstance(error, OSError) else str(error)
    lines = said.strip().splitlines() or [repr(error)]
    text = lines[0][:MAX_CHARACTERS]
    if not isinstance(error, (ValueError, ImportError, OSError)):
        text = f"The model failed: {type(error).__name__}: {text}"
    return f"{text[0].upper()}{text[1:].rstrip('.')}."
