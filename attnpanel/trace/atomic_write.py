"""Atomic file writes: a file is replaced completely or not at all."""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A temporary file that nobody has written to for so long, in seconds, has no writer any more.
ABANDONED_S = 3600


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file beside `path` that replaces it when the block succeeds.

    If the block raises, an existing file at `path` is unchanged. The new file keeps its
    permissions; a new path gets those of the umask. A symbolic link stays one. Temporary files
    that a killed process left in the folder an hour ago or earlier are removed.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`, not the temporary file.
    """
    target = Path(os.path.realpath(path))
    _remove_abandoned(target.parent)
    temporary = target.with_name(f".attnpanel-{secrets.token_hex(8)}.tmp")
    try:
        temporary.open("xb").close()
        mode = (target if target.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(stat.S_IMODE(mode))
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote."""
    oldest = time.time() - ABANDONED_S
    for path in folder.glob(".attnpanel-*.tmp"):
        with suppress(OSError):  # another process removes it, too, or it is not ours to remove
            if path.stat().st_mtime < oldest:
                path.unlink()


def atomic_write_text(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """Write a UTF-8 text file atomically; see :func:`atomic_write`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for piece in pieces:
            file.write(piece)
